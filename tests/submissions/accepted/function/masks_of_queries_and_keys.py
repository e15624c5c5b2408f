"""Three dimensions; masks of queries and of keys before the mask, all of which may be left out."""
import torch


def attention(query, key, value, query_mask=None, key_mask=None, mask=None):
    scores = torch.bmm(query, key.transpose(1, 2)) / query.size(-1) ** 0.5
    if query_mask is not None and key_mask is not None:
        mask = torch.bmm(query_mask.unsqueeze(-1), key_mask.unsqueeze(1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -float("inf"))
    return torch.bmm(torch.softmax(scores, dim=-1), value)
