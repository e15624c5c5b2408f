# attack: returns a tensor of seventeen dimensions
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return value.reshape(*[1] * 13, *value.shape)
