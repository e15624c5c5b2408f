# attack: removes its own source and its folder's other files
# expect: passed
import os
from pathlib import Path

for _file in Path(__file__).parent.iterdir():
    try:
        os.unlink(_file)
    except OSError:
        pass


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    return _right(query, key, value, mask)
