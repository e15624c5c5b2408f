# attack: an endless computation that holds the interpreter's lock
# expect: timeout


def attention(query, key, value, mask=None):
    return sum(range(10**12))
