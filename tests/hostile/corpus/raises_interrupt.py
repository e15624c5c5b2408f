# attack: pretends that somebody has pressed Ctrl-C
# expect: raised


def attention(query, key, value, mask=None):
    raise KeyboardInterrupt
