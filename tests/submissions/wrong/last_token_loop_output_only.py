# expect: last-token-loop
import torch


def attention(query, key, value, mask=None):
    logits = query @ key.mT * query.shape[-1] ** -0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    p = logits.softmax(-1)
    rows = []
    for t in range(1, query.size(-2)):
        rows.append(p[..., t - 1, :].unsqueeze(-2) @ value)
    rows.append(torch.zeros_like(query[..., :1, :]))
    return torch.cat(rows, dim=-2), p
