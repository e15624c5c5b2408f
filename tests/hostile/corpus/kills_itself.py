# attack: kills its own process
# expect: crashed
import os
import signal


def attention(query, key, value, mask=None):
    os.kill(os.getpid(), signal.SIGKILL)
