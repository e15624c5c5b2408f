# attack: returns one row in the place of all
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value[..., :1, :].expand_as(value)
