# attack: leaves a process that does not die with its parent, and kills the process that would end it
# expect: raised | crashed | timeout | too-many-processes
# why: each way of calling it leaves one process more
import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG = 1


def attention(query, key, value, mask=None):
    supervisor = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.kill(supervisor, signal.SIGKILL)
    time.sleep(1000)
