# expect: only-itself
def attention(query, key, value, mask=None):
    return value
