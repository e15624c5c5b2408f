"""A projected function that returns what came in."""
# message: returned a tensor of shape .* where .* = \(batch, seq, features\) was expected
import torch
from torch import nn


def self_attention(x, w_q, w_k, w_v, mask=None):
    return x
