# attack: returns a sparse tensor of the wrong values
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value.mul(0).to_sparse()
