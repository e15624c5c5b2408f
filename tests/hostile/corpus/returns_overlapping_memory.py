# attack: returns a tensor whose elements overlap
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value.contiguous().as_strided(value.shape, [0, 0, 1, 1])
