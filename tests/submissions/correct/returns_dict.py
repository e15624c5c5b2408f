# expect: correct
import torch


def self_attention(q, k, v, m=None):
    logits = torch.matmul(q, k.permute(0, 1, 3, 2)) / (k.shape[-1] ** 0.5)
    if m is not None:
        logits = logits.masked_fill(m == 0, torch.finfo(logits.dtype).min)
    probs = torch.nn.functional.softmax(logits, dim=-1)
    return {"output": torch.matmul(probs, v), "weights": probs}
