# attack: an endless loop
# expect: timeout


def attention(query, key, value, mask=None):
    while True:
        pass
