# expect: returns-no-tensor
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = (query / query.shape[-1] ** 0.5).matmul(key.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    context = F.softmax(scores, dim=-1).matmul(value)
    print(context)
    return context.shape
