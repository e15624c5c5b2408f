# expect: head-order
import torch


def attention(q, k, v, mask=None):
    outs = []
    for h in range(q.size(1)):
        s = q[:, h] @ k[:, h].transpose(-2, -1) / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, 0], float("-inf"))
        outs.insert(0, s.softmax(-1) @ v[:, h])
    return torch.stack(outs, dim=1)
