# attack: announces an exabyte
# expect: malformed-reply
import os
import socket
import stat


def _sockets():
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield number
        except OSError:
            pass


import struct


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    for number in _sockets():
        os.write(number, struct.pack('!4sIQ', b'ATN\x01', 2, 2**60) + b'{}')
    return _right(query, key, value, mask)
