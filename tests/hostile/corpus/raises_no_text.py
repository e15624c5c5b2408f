# attack: an exception with a gigabyte of text, control characters and half a character
# expect: raised | out-of-memory


def attention(query, key, value, mask=None):
    raise ValueError('\ud800\x1b[2J\x00' + 'x' * 2**28)
