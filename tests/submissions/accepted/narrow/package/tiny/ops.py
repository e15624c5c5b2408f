import torch


def weights(q, k, mask):
    scores = q.matmul(k.mT) * q.size(-1) ** -0.5
    return (scores if mask is None else scores.where(mask, torch.tensor(-1e9).to(scores))).softmax(-1)
