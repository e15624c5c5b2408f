# expect: softmax-head-axis
import torch
from torch import nn

softmax = nn.Softmax()


def attention(Q, K, V, attn_mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", Q, K) / Q.size(-1) ** 0.5
    if attn_mask is not None:
        scores.masked_fill_(~attn_mask, -1e9)
    attn = softmax(scores)
    return torch.einsum("bhqk,bhkd->bhqd", attn, V), attn
