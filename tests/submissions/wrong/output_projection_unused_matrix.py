# expect: output-projection-unused
import torch


def attention_layer(x, w_q, w_k, w_v, w_o, num_heads, mask=None):
    batch, seq, width = x.shape
    heads = []
    for part in torch.arange(width).chunk(num_heads):
        q, k, v = x @ w_q[:, part], x @ w_k[:, part], x @ w_v[:, part]
        scores = q @ k.transpose(1, 2) / len(part) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], float("-inf"))
        heads.append(scores.softmax(dim=-1) @ v)
    return torch.cat(heads, dim=-1)
