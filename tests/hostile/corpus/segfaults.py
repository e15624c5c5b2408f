# attack: reads address 0
# expect: crashed
import ctypes


def attention(query, key, value, mask=None):
    ctypes.string_at(0)
