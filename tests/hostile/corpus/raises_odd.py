# attack: an exception whose class and text raise in turn
# expect: raised
class Odd(Exception):
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__


def attention(query, key, value, mask=None):
    raise Odd
