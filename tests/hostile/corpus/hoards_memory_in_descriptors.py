# attack: keeps memory in files that no process maps, so that no process is seen to have it
# expect: raised
import os

KEPT = []


def attention(query, key, value, mask=None):
    for _ in range(50):
        KEPT.append(os.memfd_create("hoard"))
        os.write(KEPT[-1], bytes(1 << 20))
    return value
