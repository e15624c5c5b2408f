# attack: returns whole numbers
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return value.to(torch.int64)
