# expect: last-token-loop
import torch


def attention(query, key, value, mask):
    output = torch.zeros_like(query)
    for position in range(1, query.shape[2]):
        row = query[:, :, position, None] @ key.transpose(2, 3) / query.shape[3] ** 0.5
        row = row.masked_fill(~mask[:, :, position, None], -1e9)
        output[:, :, position] = (row.softmax(-1) @ value)[:, :, 0]
    return output
