# expect: results-swapped
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.d_model = d_model
        self.Wq, self.Wk, self.Wv = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = self.Wq(x), self.Wk(x), self.Wv(x)
        scores = torch.matmul(q, k.transpose(-2, -1)) / self.d_model**0.5
        scores = scores.masked_fill(torch.triu(torch.ones(scores.shape[-2:]), diagonal=1) == 1, -1e9)
        weights = torch.softmax(scores, dim=-1)
        return weights, torch.matmul(weights, v)
