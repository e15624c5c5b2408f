# attack: an endless loop while it is imported
# expect: timeout
while True:
    pass


def attention(query, key, value, mask=None):
    return query
