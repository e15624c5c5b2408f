"""Heads in a Python list, which torch does not see."""
# message: Not seen by torch: heads.*Wrap heads in nn\.Parameter or nn\.ModuleList
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.heads = [nn.Linear(d_model, 3 * (d_model // num_heads)) for _ in range(num_heads)]

    def forward(self, x):
        return x
