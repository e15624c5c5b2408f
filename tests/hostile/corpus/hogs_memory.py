# attack: one tensor larger than the memory it may have
# expect: out-of-memory
import torch


def attention(query, key, value, mask=None):
    return torch.ones(2**33, dtype=torch.uint8)
