"""Ways to attend in a dictionary, from which the module takes one; it is causal, or takes a mask, but never both."""
import torch
from torch import nn
from torch.nn import functional as F

WAYS = {}


def way(name):
    def register(function):
        WAYS[name] = function
        return function

    return register


@way("by_hand")
def attend_by_hand(q, k, v, *, mask, hide_future, scale):
    scores = (q @ k.mT) * scale
    if hide_future:
        mask = torch.ones_like(scores, dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


@way("fused")
def attend_fused(q, k, v, *, mask, hide_future, scale):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=hide_future, scale=scale)


def find_way(name):
    if name not in WAYS:
        raise KeyError(f"one of {sorted(WAYS)}")
    return WAYS[name]


class Attention(nn.Module):
    def __init__(self, hidden_size: int, num_heads: int, *, is_causal: bool = True, way: str = "by_hand"):
        super().__init__()
        self.num_heads, self.is_causal, self.way = num_heads, is_causal, way
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def forward(self, x, *, mask=None):
        if mask is not None and self.is_causal:
            raise ValueError("a causal attention takes no mask")
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        output = find_way(self.way)(q, k, v, mask=mask, hide_future=self.is_causal, scale=q.shape[-1] ** -0.5)
        return self.o_proj(output.transpose(1, 2).flatten(-2))
