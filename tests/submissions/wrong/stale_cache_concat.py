# expect: stale-cache
import torch

CACHE = {}


def attention(q, k, v):
    if "k" in CACHE:
        k = torch.cat([CACHE["k"], k], dim=-2)
        v = torch.cat([CACHE["v"], v], dim=-2)
    CACHE["k"], CACHE["v"] = k.detach(), v.detach()
    t, s = q.size(-2), k.size(-2)
    keep = torch.ones(t, s, device=q.device).tril(s - t).bool()
    att = (q @ k.transpose(-2, -1) / q.size(-1) ** 0.5).masked_fill(~keep, float("-inf")).softmax(-1)
    return att @ v
