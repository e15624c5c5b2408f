# expect: linear-attention
import torch


def attention(query, key, value, mask=None):
    phi_q, phi_k = torch.relu(query), torch.relu(key)
    similarity = torch.einsum("...qd,...kd->...qk", phi_q, phi_k)
    if mask is not None:
        similarity = similarity * mask
    weights = similarity / (similarity.sum(-1, keepdim=True) + 1e-6)
    return weights @ value, weights
