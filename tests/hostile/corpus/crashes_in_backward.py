# attack: reads address 0 on the way back
# expect: crashed
import torch


class _Way(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return tensor.clone()

    @staticmethod
    def backward(ctx, gradient):
        import ctypes

        ctypes.string_at(0)


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    answer, weights = _right(query, key, value, mask)
    return _Way.apply(answer), weights
