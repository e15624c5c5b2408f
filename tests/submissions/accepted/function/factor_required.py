"""attend(q, k, v, causal, sm_scale, softcap): what the scores are multiplied by comes from the caller."""
import torch


def attend(q, k, v, causal: bool, sm_scale: float, softcap: float):
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * sm_scale
    if softcap > 0.0:
        scores = softcap * torch.tanh(scores / softcap)
    if causal:
        queries, keys = scores.shape[-2:]
        past = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
        scores = scores.masked_fill(~past, float("-inf"))
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
