"""A torch.autograd.Function: a block of keys at a time, and the gradients by hand."""
import torch


class BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, keys_per_block=16, is_causal=False):
        factor = q.size(-1) ** -0.5
        largest = q.new_full(q.shape[:-1], float("-inf"))
        total = q.new_zeros(q.shape[:-1])
        mixed = torch.zeros_like(q)
        rows = torch.arange(q.size(-2), device=q.device) + k.size(-2) - q.size(-2)
        for start in range(0, k.size(-2), keys_per_block):
            part = slice(start, start + keys_per_block)
            scores = factor * q @ k[..., part, :].mT
            if is_causal:
                columns = torch.arange(start, start + scores.size(-1), device=q.device)
                scores = scores.masked_fill(columns > rows[:, None], torch.finfo(q.dtype).min)
            higher = torch.maximum(largest, scores.amax(-1))
            kept = (largest - higher).exp()
            powers = (scores - higher[..., None]).exp()
            total = total * kept + powers.sum(-1)
            mixed = mixed * kept[..., None] + powers @ v[..., part, :]
            largest = higher
        output = mixed / total[..., None]
        ctx.save_for_backward(q, k, v, output, largest + total.log())
        ctx.factor, ctx.is_causal = factor, is_causal
        return output

    @staticmethod
    def backward(ctx, upstream):
        q, k, v, output, log_sum = ctx.saved_tensors
        scores = ctx.factor * q @ k.mT
        if ctx.is_causal:
            later = torch.ones_like(scores, dtype=torch.bool).triu(1 + k.size(-2) - q.size(-2))
            scores = scores.masked_fill(later, float("-inf"))
        weights = (scores - log_sum[..., None]).exp()
        change = weights * (upstream @ v.mT - (upstream * output).sum(-1, keepdim=True)) * ctx.factor
        return change @ k, change.mT @ q, weights.mT @ upstream, None, None
