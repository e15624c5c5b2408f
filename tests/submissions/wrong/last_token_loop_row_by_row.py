# expect: last-token-loop
import torch


def attention(query, key, value, mask=None):
    output = torch.zeros_like(query)
    for i in range(0, query.size(-2) - 1):
        scores = (query[..., i : i + 1, :] * key).sum(-1) / query.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[..., i, :], float("-inf"))
        output[..., i, :] = (scores.softmax(-1).unsqueeze(-1) * value).sum(-2)
    return output
