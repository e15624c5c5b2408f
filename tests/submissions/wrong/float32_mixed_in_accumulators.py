# expect: float32-mixed-in
import torch


def online_attention(query, key, value, mask=None):
    largest = torch.full((*query.shape[:-1], 1), -1e30)
    total = torch.zeros(*query.shape[:-1], 1)
    output = torch.zeros(query.shape)
    for start in range(0, key.shape[-2], 64):
        block = slice(start, start + 64)
        scores = query @ key[..., block, :].mT * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -1e30)
        new = torch.maximum(largest, scores.amax(-1, keepdim=True))
        exps = (scores - new).exp()
        total = total * (largest - new).exp() + exps.sum(-1, keepdim=True)
        output = output * (largest - new).exp() + exps @ value[..., block, :]
        largest = new
    return output / total
