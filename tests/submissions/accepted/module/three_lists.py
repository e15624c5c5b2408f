"""Three ModuleLists, of queries, keys and values, one linear a head; loops over them."""
import torch
from torch import nn


class MSA(nn.Module):
    def __init__(self, d, n_heads=2):
        super().__init__()
        self.d, self.n_heads = d, n_heads
        d_head = d // n_heads
        self.q_mappings = nn.ModuleList([nn.Linear(d, d_head) for _ in range(n_heads)])
        self.k_mappings = nn.ModuleList([nn.Linear(d, d_head) for _ in range(n_heads)])
        self.v_mappings = nn.ModuleList([nn.Linear(d, d_head) for _ in range(n_heads)])
        self.d_head = d_head
        self.softmax = nn.Softmax(dim=-1)
        self.unify = nn.Linear(d, d)

    def forward(self, sequences, mask=None):
        result = []
        for index, sequence in enumerate(sequences):
            seq_result = []
            for q_mapping, k_mapping, v_mapping in zip(self.q_mappings, self.k_mappings, self.v_mappings):
                q, k, v = q_mapping(sequence), k_mapping(sequence), v_mapping(sequence)
                scores = q @ k.T / (self.d_head**0.5)
                if mask is not None:
                    scores = scores.masked_fill(~mask[index], float("-inf"))
                seq_result.append(self.softmax(scores) @ v)
            result.append(torch.hstack(seq_result))
        return self.unify(torch.stack(result))
