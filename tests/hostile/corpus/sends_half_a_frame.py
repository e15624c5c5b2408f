# attack: announces a frame and never ends it
# expect: timeout
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
import time


def attention(query, key, value, mask=None):
    for number in _sockets():
        os.write(number, struct.pack('!4sIQ', b'ATN\x01', 1000, 0) + b'{')
    time.sleep(1000)
