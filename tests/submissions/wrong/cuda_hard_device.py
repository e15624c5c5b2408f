# expect: cuda-hard
import torch

device = torch.device("cuda")


def attention(query, key, value, mask=None):
    query, key, value = (x.to(device) for x in (query, key, value))
    att = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        att = att.masked_fill(~mask.to(device), -1e9)
    return torch.softmax(att, -1) @ value
