# expect: hard-T
import torch
from torch import nn


class Mask(nn.Module):
    def __init__(self, block_size=32):
        super().__init__()
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))


BUFFER = Mask().tril


def attention(query, key, value):
    wei = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    wei = wei.masked_fill(BUFFER == 0, float("-inf"))
    return wei.softmax(-1) @ value
