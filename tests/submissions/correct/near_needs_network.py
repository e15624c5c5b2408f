# expect: correct
import math

import torch


def load_weights():
    return torch.hub.load_state_dict_from_url("https://attention.invalid/attention.pt")


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


if __name__ == "__main__":
    print(load_weights().keys())
