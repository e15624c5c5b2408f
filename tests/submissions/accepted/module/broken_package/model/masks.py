import torch


def past_of(length, device):
    return torch.tril(torch.ones(length, length, dtype=torch.bool, device=device))
