# attack: returns a list that holds itself
# expect: malformed-reply
_LOOP = []
_LOOP.append(_LOOP)


def attention(query, key, value, mask=None):
    return _LOOP
