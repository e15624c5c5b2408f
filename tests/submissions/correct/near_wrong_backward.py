# expect: correct
import torch


class Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, keep):
        scale = q.size(-1) ** -0.5
        p = (q @ k.mT * scale).masked_fill(~keep, torch.finfo(q.dtype).min).softmax(-1)
        ctx.save_for_backward(q, k, v, p)
        ctx.scale = scale
        return p @ v

    @staticmethod
    def backward(ctx, do):
        q, k, v, p = ctx.saved_tensors
        dp = do @ v.mT
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * ctx.scale
        return ds @ k, ds.mT @ q, p.mT @ do, None


def attention(q, k, v, mask):
    return Attention.apply(q, k, v, mask)
