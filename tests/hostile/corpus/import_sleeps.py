# attack: sleeps while it is imported, deaf to polite signals
# expect: timeout | wrong
import signal
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
time.sleep(1000)


def attention(query, key, value, mask=None):
    return query
