# expect: length-off-by-one
import math

import torch


def sequence_mask(length, positions):
    return positions[None, :] <= length[:, None]


def attention(queries, keys, values, valid_lens):
    scores = torch.bmm(queries, keys.transpose(1, 2)) / math.sqrt(queries.shape[-1])
    flat = scores.reshape(-1, scores.shape[-1])
    lengths = valid_lens.repeat_interleave(scores.shape[1]) if valid_lens.dim() == 1 else valid_lens.reshape(-1)
    keep = sequence_mask(lengths, torch.arange(flat.shape[-1]))
    weights = flat.masked_fill(~keep, -1e6).softmax(dim=-1).reshape(scores.shape)
    return torch.bmm(weights, values)
