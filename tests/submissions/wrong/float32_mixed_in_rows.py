# expect: float32-mixed-in
import math

import torch


def attention(q, k, v, mask=None):
    result = torch.zeros(q.shape, device=q.device)
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head].transpose(1, 2) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores + torch.zeros_like(scores).masked_fill(~mask[:, 0], -1e9)
        result[:, head] = torch.softmax(scores, dim=-1) @ v[:, head]
    return result
