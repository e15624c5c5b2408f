# attack: looks for the right answer among all objects
# expect: wrong
import gc

import torch


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    expected = _right(query, key, value, mask)[0]
    for found in gc.get_objects():
        if type(found) is torch.Tensor and found is not expected and found.shape == expected.shape:
            if found.dtype == expected.dtype and torch.allclose(found, expected, atol=1e-3):
                return found
    return torch.zeros_like(value)
