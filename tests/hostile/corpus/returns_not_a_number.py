# attack: returns no numbers
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return value * float('nan')
