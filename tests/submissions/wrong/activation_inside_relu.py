# expect: activation-inside
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        batch, seq, width = x.shape
        heads = (batch, seq, self.num_heads, width // self.num_heads)
        query, key, value = (F.relu(layer(x)).view(heads).transpose(1, 2) for layer in (self.wq, self.wk, self.wv))
        scores = query @ key.transpose(-2, -1) / (width // self.num_heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e9)
        return self.wo((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, seq, width))
