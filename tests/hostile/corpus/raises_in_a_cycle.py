# attack: an exception that is its own cause and context
# expect: raised


def attention(query, key, value, mask=None):
    error = ValueError('round')
    error.__cause__ = error
    error.__context__ = error
    raise error
