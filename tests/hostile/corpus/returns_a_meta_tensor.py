# attack: returns a tensor without values
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return torch.empty_like(value, device='meta')
