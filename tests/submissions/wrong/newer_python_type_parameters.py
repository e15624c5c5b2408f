# expect: newer-python
import torch


def softmax[T: torch.Tensor](x: T) -> T:
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


def attention(query, key, value, mask=None):
    scores = query @ key.mT * query.shape[-1] ** -0.5
    weights = softmax(scores.masked_fill(~mask, float("-inf")))
    return weights @ value, weights
