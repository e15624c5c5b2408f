# attack: waits for a lock that it holds
# expect: timeout
import threading

_LOCK = threading.Lock()


def attention(query, key, value, mask=None):
    _LOCK.acquire()
    _LOCK.acquire()
