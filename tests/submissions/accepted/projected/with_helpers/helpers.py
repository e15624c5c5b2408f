import torch


def stable_softmax(scores):
    scores = scores - scores.amax(-1, keepdim=True)
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def hide(scores, mask):
    return scores if mask is None else torch.where(mask, scores, torch.full_like(scores, -1e9))
