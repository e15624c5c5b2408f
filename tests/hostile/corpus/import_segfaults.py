# attack: reads address 0 while it is imported
# expect: crashed
import ctypes

ctypes.string_at(0)


def attention(query, key, value, mask=None):
    return query
