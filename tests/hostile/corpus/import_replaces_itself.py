# attack: puts something else where its module should be
# expect: import-error
import sys


class Liar:
    def __getattr__(self, name):
        raise SystemExit(0)


sys.modules[__name__] = Liar()
raise AttributeError('gone')


def attention(query, key, value, mask=None):
    return query
