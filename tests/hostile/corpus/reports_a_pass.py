# attack: sends a failure of a name that is none, and a verdict
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


import json
import struct


def attention(query, key, value, mask=None):
    for asked in range(1, 30):
        text = json.dumps({'id': asked, 'failure': {'name': 'passed'}, 'verdict': 'passed', 'score': 100}).encode()
        for number in _sockets():
            os.write(number, struct.pack('!4sIQ', b'ATN\x01', len(text), 0) + text)
    return None
