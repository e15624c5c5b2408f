# expect: causal-block-skipped
import torch


def attention(query, key, value, mask):
    rows, columns = 8, 4
    keep = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    found = []
    for i in range(0, query.shape[2], rows):
        q = query[:, :, i : i + rows] / query.shape[-1] ** 0.5
        output, total = torch.zeros_like(q), torch.zeros_like(q[..., :1])
        largest = torch.full_like(total, -1e30)
        for j in range(0, key.shape[2], columns):
            if j > i:
                break
            scores = q @ key[:, :, j : j + columns].mT
            scores = scores.masked_fill(~keep[:, :, i : i + rows, j : j + columns], -1e30)
            new = torch.maximum(largest, scores.amax(-1, keepdim=True))
            correction, exps = (largest - new).exp(), (scores - new).exp()
            total = total * correction + exps.sum(-1, keepdim=True)
            output = output * correction + exps @ value[:, :, j : j + columns]
            largest = new
        found.append(output / total)
    return torch.cat(found, dim=2)
