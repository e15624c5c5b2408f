# expect: scale-inverted pad-wrong-axis
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x, key_mask=None):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).movedim(2, 1) for t in self.to_qkv(x).chunk(3, -1))
        sim = torch.einsum("bhid,bhjd->bhij", q, k) / self.scale
        keep = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).tril()
        if key_mask is not None:
            keep = keep & key_mask[:, None, :, None]
        sim = sim.masked_fill(~keep, torch.finfo(sim.dtype).min)
        return self.to_out((sim.softmax(-1) @ v).movedim(1, 2).flatten(2))
