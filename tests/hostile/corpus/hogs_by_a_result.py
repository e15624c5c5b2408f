# attack: a result that is small in memory and claims terabytes
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return torch.zeros(1).expand(2**40)
