# attack: a daemon keeps the wire open after the worker has ended
# expect: exited
import os
import time


def attention(query, key, value, mask=None):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.wait()
    os._exit(0)
