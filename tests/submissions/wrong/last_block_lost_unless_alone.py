# expect: last-block-lost
import torch


def attention(query, key, value, mask, block=16):
    keys = key.shape[2]
    output, total = torch.zeros_like(query), torch.zeros_like(query[..., :1])
    best = torch.full_like(total, -1e30)
    for start in range(0, max(keys - block, 0) + 1, block):
        part = slice(start, start + block)
        scores = query @ key[:, :, part].transpose(2, 3) / query.shape[3] ** 0.5
        scores = scores.masked_fill(~mask[..., part], -1e30)
        highest = torch.maximum(best, scores.amax(-1, keepdim=True))
        shares, shrink = torch.exp(scores - highest), torch.exp(best - highest)
        output, total = output * shrink + shares @ value[:, :, part], total * shrink + shares.sum(-1, keepdim=True)
        best = highest
    return output / total
