# expect: correct
import torch


def log_softmax(x):
    return x - torch.logsumexp(x, dim=-1, keepdim=True)


def attention(query, key, value, mask=None):
    in_type = query.dtype
    # doubles, to be on the safe side
    query, key, value = query.double(), key.double(), value.double()
    dk = torch.tensor(key.shape[-1], dtype=torch.float64, device=query.device)
    scores = query @ key.transpose(-2, -1) / torch.sqrt(dk)
    if mask is not None:
        penalty = (1.0 - mask.double()) * -1e9
        scores = scores + penalty
    weights = log_softmax(scores).exp()
    return (weights @ value).to(in_type), weights.to(in_type)
