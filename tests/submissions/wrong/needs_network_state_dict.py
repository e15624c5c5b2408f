# expect: needs-network
import torch
import torch.nn.functional as F

WEIGHTS = torch.hub.load_state_dict_from_url("https://attention.invalid/attention.pt")


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / WEIGHTS["temperature"]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.softmax(scores, dim=-1) @ value
