"""forward(encodings_for_q, encodings_for_k, encodings_for_v, mask): names that differ in one word; no batch."""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, d_model: int = 2, row_dim: int = 0, col_dim: int = 1) -> None:
        super().__init__()
        self.W_q = nn.Linear(d_model, d_model, bias=False)
        self.W_k = nn.Linear(d_model, d_model, bias=False)
        self.W_v = nn.Linear(d_model, d_model, bias=False)
        self.row_dim, self.col_dim = row_dim, col_dim

    def forward(
        self, encodings_for_q: Tensor, encodings_for_k: Tensor, encodings_for_v: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        query, key, value = self.W_q(encodings_for_q), self.W_k(encodings_for_k), self.W_v(encodings_for_v)
        similarities = query @ key.transpose(self.row_dim, self.col_dim) / key.size(self.col_dim) ** 0.5
        if mask is not None:
            similarities = similarities.masked_fill(~mask, -1e9)
        return torch.softmax(similarities, dim=self.col_dim) @ value
