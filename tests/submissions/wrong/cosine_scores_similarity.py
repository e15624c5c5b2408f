# expect: cosine-scores
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = F.cosine_similarity(query.unsqueeze(-2), key.unsqueeze(-3), dim=-1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
