"""A projected function without the value weights."""
# message: has no parameter for w_v.*Give it this signature: self_attention
import torch
from torch import nn


def self_attention(x, w_q, w_k, mask=None):
    return x
