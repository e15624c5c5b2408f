# expect: scale-seq
import math

import torch
from torch import nn


class DotProductAttention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens=None):
        d = queries.shape[1]
        scores = torch.bmm(queries, keys.transpose(1, 2)) / math.sqrt(d)
        if valid_lens is not None:
            if valid_lens.dim() == 1:
                valid_lens = valid_lens[:, None].expand(-1, queries.shape[1])
            blocked = torch.arange(keys.shape[1]) >= valid_lens[..., None]
            scores = scores.masked_fill(blocked, -1e6)
        return torch.bmm(self.dropout(scores.softmax(-1)), values)
