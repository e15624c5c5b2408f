# attack: recursion without end past Python's own limit
# expect: timeout | out-of-memory | crashed
import sys

sys.setrecursionlimit(10**9)


def attention(query, key, value, mask=None):
    return attention(query, key, value, mask)
