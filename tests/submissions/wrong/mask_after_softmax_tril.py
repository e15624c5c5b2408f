# expect: mask-after-softmax
import torch


def attention(query, key, value):
    wei = torch.einsum("bhtd,bhsd->bhts", query, key) * query.shape[-1] ** -0.5
    wei = wei.softmax(dim=-1)
    T, S = wei.shape[-2:]
    wei = torch.tril(wei, diagonal=S - T)
    return torch.einsum("bhts,bhsd->bhtd", wei, value)
