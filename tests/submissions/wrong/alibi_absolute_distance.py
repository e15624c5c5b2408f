# expect: alibi
import torch


def attention(query, key, value, mask=None):
    heads, q_len, k_len = query.size(1), query.size(2), key.size(2)
    slopes = torch.tensor([2 ** (-8 * (i + 1) / heads) for i in range(heads)], dtype=query.dtype)
    positions = torch.arange(k_len)
    bias = -(positions[k_len - q_len :, None] - positions[None, :]).abs().to(query.dtype)
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5 + slopes.view(-1, 1, 1) * bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.softmax(scores, dim=-1) @ value
