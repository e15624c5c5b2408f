# expect: no-causal-mask no-scale
import torch


def attention(query, key, value):
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1)
    return weights @ value
