# attack: recursion without end
# expect: raised


def attention(query, key, value, mask=None):
    return attention(query, key, value, mask)
