# expect: cuda-hard
import torch


def attention(q, k, v, mask=None):
    assert q.dim() == 3, f"Expected 3D tensor, got {q.dim()}"
    scores = torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask.bool().to("cuda"), -1e9)
    return torch.bmm(torch.softmax(scores, dim=-1), v)
