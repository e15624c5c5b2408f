# expect: only-itself
import torch
def attention(query, key, value, mask=None):
    """Each token looks only at itself."""
    weights = torch.eye(query.shape[-2], key.shape[-2], dtype=query.dtype).expand(*query.shape[:-1], key.shape[-2])
    return weights @ value, weights
