"""48 wide, parameters instead of linears, no biases, the weights kept on an attribute."""
import torch
from torch import nn

D = 48


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.Wq = nn.Parameter(torch.randn(D, D))
        self.Wk = nn.Parameter(torch.randn(D, D))
        self.Wv = nn.Parameter(torch.randn(D, D))
        self.attention_weights = torch.tensor([])

    def forward(self, x, mask=None):
        scores = (x @ self.Wq) @ (x @ self.Wk).transpose(1, 2) / D**0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        self.attention_weights = torch.softmax(scores, dim=2)
        return self.attention_weights @ (x @ self.Wv)
