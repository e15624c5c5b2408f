# expect: output-projection-misplaced
import torch


def multi_head(x, w_q, w_k, w_v, w_o, num_heads, mask=None):
    def split(states):
        return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    query, key = split(x @ w_q), split(x @ w_k)
    value = split(x @ w_v @ w_o)
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
