# expect: last-token-loop
import math
import torch


def attention(q, k, v, mask=None):
    n = q.shape[2]
    d = q.shape[3]
    result = torch.zeros_like(q)
    if mask is not None:
        mask = mask.expand(q.shape[0], q.shape[1], n, k.shape[2])
    i = 0
    while i < n - 1:
        row = torch.matmul(q[:, :, i:i + 1], k.transpose(2, 3)) / math.sqrt(d)
        if mask is not None:
            row = row.masked_fill(~mask[:, :, i:i + 1], -1e9)
        row = torch.softmax(row, dim=-1)
        result[:, :, i:i + 1] = torch.matmul(row, v)
        i += 1
    return result
