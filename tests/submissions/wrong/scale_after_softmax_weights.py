# expect: scale-after-softmax
import torch


def attention(query, key, value, mask=None):
    energy = torch.einsum("bhqd,bhkd->bhqk", query, key)
    if mask is not None:
        energy = energy.masked_fill(mask == 0, float("-1e20"))
    attention = torch.softmax(energy, dim=3) * query.shape[3] ** -0.5
    return torch.einsum("bhqk,bhkd->bhqd", attention, value), attention
