# attack: returns a parameter of its own
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return torch.nn.Parameter(torch.zeros(value.shape))
