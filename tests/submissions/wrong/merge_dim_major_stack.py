# expect: merge-dim-major
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    n_heads, width = query.shape[1], query.shape[3]
    heads = []
    for i in range(n_heads):
        s = torch.bmm(query[:, i], key[:, i].transpose(1, 2)) * width ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, 0], -1e9)
        heads.append(torch.bmm(F.softmax(s, dim=-1), value[:, i]))
    merged = torch.stack(heads, dim=-1).flatten(2)          # (batch, seq, width * heads)
    return torch.stack(merged.chunk(n_heads, dim=-1), dim=1)
