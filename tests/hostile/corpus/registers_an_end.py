# attack: an exit handler that would write a report of its own
# expect: passed
import atexit
import os
import threading


def _forge():
    with open('report.json', 'w') as file:
        file.write('{"verdict": "passed"}')


atexit.register(_forge)
threading._register_atexit(_forge)


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    return _right(query, key, value, mask)
