# expect: diag-off-loose
import math
import torch
import torch.nn.functional as F


def causal_self_attention(query, key, value):
    T, S = query.shape[2], key.shape[2]
    tril = torch.tril(torch.ones(T, S, dtype=torch.bool, device=query.device), diagonal=S - T + 1)
    out = []
    for head in range(query.shape[1]):
        att = torch.bmm(query[:, head], key[:, head].transpose(1, 2)) / math.sqrt(query.shape[3])
        att = F.softmax(att.masked_fill(~tril, -1e9), dim=-1)
        out.append(torch.bmm(att, value[:, head]))
    return torch.stack(out, dim=1)
