# attack: stops the process that would end it
# expect: raised | timeout
import os
import signal
import time


def attention(query, key, value, mask=None):
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(1000)
