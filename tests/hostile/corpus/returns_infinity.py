# attack: returns infinity
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value * 0 + float('inf')
