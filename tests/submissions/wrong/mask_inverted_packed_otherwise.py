# expect: mask-inverted
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.to_kvq = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)

    def forward(self, x, attn_mask):
        b, t, c = x.shape
        k, v, q = self.to_kvq(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / (c // self.heads) ** 0.5
        weights = scores.masked_fill(attn_mask, float("-inf")).softmax(dim=-1)
        return self.merge((weights @ v).transpose(1, 2).flatten(2))
