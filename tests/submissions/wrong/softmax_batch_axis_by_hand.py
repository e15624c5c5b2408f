# expect: softmax-batch-axis
import torch


def attention(query, key, value, mask=None):
    logits = torch.matmul(query * query.size(3) ** -0.5, key.transpose(2, 3))
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    e = (logits - logits.max(0, keepdim=True)[0]).exp()
    p = e.div(e.sum(0, keepdim=True))
    return p.matmul(value)
