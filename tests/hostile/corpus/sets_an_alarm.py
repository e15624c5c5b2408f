# attack: an alarm that ends the process in the middle of another call
# expect: crashed
import signal
import time


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    time.sleep(1)
    return _right(query, key, value, mask)
