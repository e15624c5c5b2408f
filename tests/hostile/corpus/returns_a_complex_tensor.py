# attack: returns a complex tensor
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return value.to(torch.complex64)
