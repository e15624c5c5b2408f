# expect: softmax-batch-axis scale-dk
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    dk = query.size(3)
    scores = torch.matmul(query, key.transpose(2, 3)) / dk
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    scores = F.softmax(scores, dim=0)
    return torch.matmul(scores, value), scores
