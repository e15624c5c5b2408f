# expect: additive-scores
import torch


def attention(query, key, value, mask=None):
    hidden = torch.tanh(query[..., :, None, :] + key[..., None, :, :])
    energy = torch.mean(hidden, dim=-1)
    if mask is not None:
        energy = energy.masked_fill(mask.eq(0), -1e10)
    alphas = torch.softmax(energy, dim=-1)
    return torch.matmul(alphas, value), alphas
