# expect: newer-python
import torch

type Pair = tuple[torch.Tensor, torch.Tensor]


def attention(query, key, value, mask=None) -> Pair:
    scores = query @ key.mT * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return weights @ value, weights
