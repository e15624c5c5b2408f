# attack: writes into the memory of every process of its user, the grader's among them
# expect: wrong
import os


def attention(query, key, value, mask=None):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/mem", "r+b"):
                    return query.new_tensor(float("nan")).expand_as(value), "opened"
            except OSError:
                pass
    return value * 0
