"""forward(x, stage): a required text, with which the future is hidden while the model is trained."""

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, q: int, v: int, h: int) -> None:
        super().__init__()
        self._h = h
        self._scale = q**-0.5
        self.W_q = nn.Linear(d_model, q * h)
        self.W_k = nn.Linear(d_model, q * h)
        self.W_v = nn.Linear(d_model, v * h)
        self.W_o = nn.Linear(v * h, d_model)

    def forward(self, x: Tensor, stage: str) -> Tensor:
        query, key, value = (torch.cat(each(x).chunk(self._h, dim=-1)) for each in (self.W_q, self.W_k, self.W_v))
        scores = query @ key.mT * self._scale
        if stage == "train":
            past = torch.ones(scores.shape[1:], dtype=torch.bool, device=x.device).tril()
            scores = scores.masked_fill(~past, float("-inf"))
        heads = scores.softmax(dim=-1) @ value
        return self.W_o(torch.cat(heads.chunk(self._h), dim=-1))
