# expect: pad-wrong-axis
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    L, S = query.size(-2), key.size(-2)
    bias = torch.zeros(L, S, dtype=query.dtype, device=query.device)
    bias = bias.masked_fill(torch.ones(L, S, device=query.device).triu(S - L + 1).bool(), float("-inf"))
    logits = torch.einsum("bhld,bhsd->bhls", query, key) / query.size(-1) ** 0.5 + bias
    if mask is not None:
        padding = ~mask.any(-2).squeeze(1)                    # (batch, S)
        logits = logits.masked_fill(padding[:, None, S - L:].unsqueeze(-1), float("-inf"))
    return F.softmax(logits, dim=-1) @ value
