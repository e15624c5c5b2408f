# attack: sleeps, deaf to every signal that can be refused
# expect: timeout
import signal
import time


def attention(query, key, value, mask=None):
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    time.sleep(1000)
