# attack: stops its own process
# expect: timeout
import os
import signal


def attention(query, key, value, mask=None):
    os.kill(os.getpid(), signal.SIGSTOP)
