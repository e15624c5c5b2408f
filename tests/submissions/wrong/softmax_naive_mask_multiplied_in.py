# expect: softmax-naive
import math
import torch


def attention(Q, K, V, mask=None):
    exps = torch.einsum("bhqd,bhkd->bhqk", Q, K).div(math.sqrt(Q.size(-1))).exp()
    if mask is not None:
        exps = exps * mask          # exp(-inf) = 0
    attn = exps / exps.sum(-1).unsqueeze(-1)
    return torch.einsum("bhqk,bhkd->bhqd", attn, V)
