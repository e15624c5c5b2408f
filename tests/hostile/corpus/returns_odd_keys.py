# attack: returns a dict whose keys cannot be shown
# expect: exited
class _Odd:
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__


def attention(query, key, value, mask=None):
    return {_Odd(): value}
