# attack: raises what is no Exception and cannot be shown
# expect: import-error
class Odd(BaseException):
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__


raise Odd


def attention(query, key, value, mask=None):
    return query
