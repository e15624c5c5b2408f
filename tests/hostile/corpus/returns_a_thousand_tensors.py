# attack: returns a thousand tensors
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return tuple(value.clone() for _ in range(1000))
