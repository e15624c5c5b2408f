"""A dict comes back, with everything somebody might want to look at."""
import numpy as np
import torch


def scaled_dot_product_attention(q, k, v, attn_mask=None):
    logits = torch.matmul(q, torch.transpose(k, -1, -2)) / np.sqrt(k.shape[-1])
    if attn_mask is not None:
        logits = torch.where(attn_mask, logits, torch.full_like(logits, -1e9))
    log_weights = torch.log_softmax(logits, dim=-1)
    weights = log_weights.exp()
    return {"logits": logits, "weights": weights, "output": weights @ v, "entropy": -(weights * log_weights).sum(-1)}
