# expect: pad-zeroed
import torch


def attention(query, key, value, mask):
    """The keys that the last query may attend to are the real tokens."""
    real = mask[:, :, -1, :].unsqueeze(-1).to(query.dtype)
    key, value = key * real, value * real
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(key.size(-2) - query.size(-2))
    return scores.masked_fill(~causal, float("-inf")).softmax(dim=-1) @ value
