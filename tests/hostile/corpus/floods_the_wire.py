# attack: writes zeros without end where replies go
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


def attention(query, key, value, mask=None):
    while True:
        for number in _sockets():
            os.write(number, bytes(65536))
