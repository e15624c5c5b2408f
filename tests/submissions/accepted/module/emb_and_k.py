"""Sizes with names that say little, (emb, k): beside the width the other one is the number of heads."""
import math
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, emb, k):
        super().__init__()
        self.d, self.n = emb, k
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(emb, emb) for _ in range(4))

    def forward(self, Q, K, V, mask=None):
        def heads(x):
            return x.view(x.shape[0], -1, self.n, self.d // self.n).transpose(1, 2)

        q, k, v = heads(self.to_q(Q)), heads(self.to_k(K)), heads(self.to_v(V))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d // self.n)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        weights = scores.softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).reshape(Q.shape[0], -1, self.d)), weights
