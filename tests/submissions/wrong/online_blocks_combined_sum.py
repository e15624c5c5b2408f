# expect: online-blocks-combined
import torch


def attention(query, key, value, mask):
    output = torch.zeros_like(query)
    total = torch.zeros_like(query[..., :1])
    maximum = torch.full_like(total, float("-inf"))
    for start in range(0, key.shape[-2], 4):
        scores = query @ key[..., start : start + 4, :].mT / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~mask[..., start : start + 4], torch.finfo(scores.dtype).min)
        larger = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        correction = torch.exp(maximum - larger)
        exps = torch.exp(scores - larger)
        total = total * correction**2 + exps.sum(-1, keepdim=True)
        output = output * correction + exps @ value[..., start : start + 4, :]
        maximum = larger
    return output / total
