"""Key padding from outside, (batch, key); causal by itself; weights of unusual names."""
import torch

NEG = -3e38


def causal_self_attention(xs, wq, wk, wv, pad_mask=None):
    T = xs.shape[1]
    logits = (xs @ wq) @ (xs @ wk).mT / wq.shape[-1] ** 0.5
    future = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
    logits = logits.masked_fill(future, NEG)
    if pad_mask is not None:
        logits = logits.masked_fill(~pad_mask.unsqueeze(1), NEG)
    return torch.softmax(logits, dim=-1) @ (xs @ wv)
