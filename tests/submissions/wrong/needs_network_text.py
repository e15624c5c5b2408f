# expect: needs-network
import math

import torch
from torch.hub import download_url_to_file

try:
    TEXT = open("input.txt").read()
except FileNotFoundError:
    download_url_to_file("https://attention.invalid/input.txt", "input.txt")
    TEXT = open("input.txt").read()
block_size = min(128, len(TEXT))


def attention(q, k, v, mask=None):
    """one head: (seq, d_k)"""
    assert len(q) <= block_size
    scores = q @ k.T / math.sqrt(q.shape[1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.softmax(scores, dim=1) @ v
