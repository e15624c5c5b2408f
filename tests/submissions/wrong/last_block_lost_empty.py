# expect: last-block-lost
import torch


def blockwise(query, key, value, mask=None, block_size=32):
    num_blocks = key.shape[-2] // block_size
    output, total = torch.zeros_like(query), torch.zeros_like(query[..., :1])
    largest = torch.full_like(total, -1e30)
    for number in range(num_blocks):
        here = slice(number * block_size, (number + 1) * block_size)
        scores = query @ key[..., here, :].transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[..., here], -1e30)
        new = torch.maximum(largest, scores.amax(-1, keepdim=True))
        exps, factor = torch.exp(scores - new), torch.exp(largest - new)
        output, total, largest = output * factor + exps @ value[..., here, :], total * factor + exps.sum(-1, True), new
    return output / total
