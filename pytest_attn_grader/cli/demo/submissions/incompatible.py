"""Projects with a matrix of another width than the model's heads have."""

import torch


def attention(query, key, value, mask=None):  # type: ignore[no-untyped-def]
    projection = torch.ones(32, 32)
    return query @ projection @ key.transpose(-2, -1) @ value
