# expect: correct
import torch
import math


def attention(q, k, v, mask=None):
    outputs = []
    weights = []
    for i in range(q.shape[-2]):
        qi = q[..., i:i + 1, :]
        s = (qi * k).sum(-1) / math.sqrt(q.shape[-1])
        if mask is not None:
            s = s.masked_fill(~mask[..., i, :], float('-inf'))
        w = torch.softmax(s, -1)
        weights.append(w)
        outputs.append((w.unsqueeze(-1) * v).sum(-2))
    return torch.stack(outputs, -2), torch.stack(weights, -2)
