# attack: Python objects until the memory is used up
# expect: out-of-memory


def attention(query, key, value, mask=None):
    kept = []
    while True:
        kept.append(bytearray(2**22))
