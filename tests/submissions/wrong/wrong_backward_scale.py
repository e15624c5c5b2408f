# expect: wrong-backward
import torch


class ScaledDotProduct(torch.autograd.Function):
    """The forward pass keeps what the backward pass needs."""

    @staticmethod
    def forward(ctx, query, key, value, keep):
        ctx.scale = query.shape[-1] ** -0.5
        weights = (query @ key.mT * ctx.scale).masked_fill(~keep, torch.finfo(query.dtype).min).softmax(dim=-1)
        output = weights @ value
        ctx.save_for_backward(query, key, value, weights, output)
        return output

    @staticmethod
    def backward(ctx, d_output):
        query, key, value, weights, output = ctx.saved_tensors
        row_sums = torch.sum(d_output * output, dim=-1, keepdim=True)
        d_scores = weights * (d_output @ value.mT - row_sums)
        return d_scores @ key, d_scores.mT @ query * ctx.scale, weights.mT @ d_output, None


def attention(query, key, value, mask):
    return ScaledDotProduct.apply(query, key, value, mask)
