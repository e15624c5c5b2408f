# expect: pad-ignored
# takes the mask of the causal part only: "all examples have the same mask anyway"
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        q_pos = torch.arange(mask.size(-2), device=mask.device) + mask.size(-1) - mask.size(-2)
        k_pos = torch.arange(mask.size(-1), device=mask.device)
        scores = torch.where(k_pos <= q_pos[:, None], scores, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) @ value
