# expect: pad-wrong-axis
import math
import torch


def attention(query, key, value, mask=None):
    b, h, t, d = query.shape
    s = key.shape[2]
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) / math.sqrt(d)

    if mask is not None:
        # split the mask in its two parts: which tokens are real, and the causal triangle
        tokens = mask.expand(b, 1, t, s).any(dim=2)              # (b, 1, s)
        triangle = torch.ones(t, s, dtype=torch.bool, device=query.device).tril(s - t)
        scores = scores.masked_fill(~triangle, -1e9)
        scores = scores.masked_fill(~tokens[:, :, -t:, None], -1e9)

    attn = scores.softmax(dim=-1)
    return torch.einsum("bhts,bhsd->bhtd", attn, value), attn
