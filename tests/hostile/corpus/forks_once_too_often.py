# attack: a line of children that fork the next one, each in a session of its own
# expect: too-many-processes
# seconds: 60
import os
import time


def attention(query, key, value, mask=None):
    for _ in range(200):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
    time.sleep(1000)
