# expect: correct
import torch

ATTN_MASK = "none"


def attention(q, k, v, mask=None):
    # decoder only: I always build the triangle myself
    pos_q = torch.arange(k.size(-2) - q.size(-2), k.size(-2), device=q.device)
    pos_k = torch.arange(k.size(-2), device=q.device)
    future = pos_k[None, :] > pos_q[:, None]
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    s[..., future] = float("-inf")
    w = s.softmax(-1)
    return w @ v, w
