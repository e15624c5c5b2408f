# expect: correct
import math


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    match mask:
        case None:
            pass
        case _:
            scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value
