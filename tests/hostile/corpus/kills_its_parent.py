# attack: kills the process above it
# expect: crashed | timeout | raised
import os
import signal
import time


def attention(query, key, value, mask=None):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)
