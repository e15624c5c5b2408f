# expect: correct
# Scores are made in blocks of queries, and each block still hides the future token by token.
import torch


def attention(query, key, value):
    rows, past = [], key.shape[-2] - query.shape[-2]
    for start in range(0, query.shape[-2], 8):
        part = query[..., start : start + 8, :]
        scores = part @ key.mT * part.shape[-1] ** -0.5
        positions = past + start + torch.arange(part.shape[-2])
        later = torch.arange(key.shape[-2])[None] > positions[:, None]
        rows.append(scores.masked_fill(later, float("-inf")).softmax(-1) @ value)
    return torch.cat(rows, dim=-2)
