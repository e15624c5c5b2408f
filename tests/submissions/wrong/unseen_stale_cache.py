# expect: stale-cache
import math
import torch

# kv cache, makes generation faster
cache = {"k": None, "v": None}


def attention(query, key, value, mask=None):
    k, v = key, value
    old = cache["k"]
    if old is not None and old.shape[:2] == key.shape[:2] and old.dtype == key.dtype:
        k = torch.cat([cache["k"], key], dim=2)
        v = torch.cat([cache["v"], value], dim=2)
        if mask is not None:
            # everything in the cache lies in the past, so it may be seen
            seen = torch.ones(*mask.shape[:-1], old.shape[2], dtype=torch.bool, device=mask.device)
            mask = torch.cat([seen, mask], dim=-1)
    cache["k"] = k.detach()
    cache["v"] = v.detach()

    scores = query @ k.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.softmax(scores, dim=-1) @ v
