# attack: returns another number of everything
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return torch.zeros(7, 1, 0, 3)
