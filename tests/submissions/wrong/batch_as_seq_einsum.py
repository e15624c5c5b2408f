# expect: batch-as-seq
import math
import torch


def attention(query, key, value):
    # "b" and "s" mixed up
    scores = torch.einsum("shbd,thbd->bhst", query, key) / math.sqrt(query.shape[-1])
    att = torch.softmax(scores, dim=-1)
    return torch.einsum("bhst,thbd->shbd", att, value)
