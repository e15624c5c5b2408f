# expect: random-numbers
import torch


class Attention(torch.nn.Module):
    noise = 0.05

    def forward(self, query, key, value, mask=None):
        attn = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            attn = attn.masked_fill(mask == 0, float("-inf"))
        attn = attn.softmax(-1)
        attn = attn + self.noise * torch.rand_like(attn)
        return attn @ value, attn
