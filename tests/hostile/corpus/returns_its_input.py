# attack: returns its own input, the same memory
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value
