# expect: correct
# Near miss of output-projection-misplaced: each head goes through its own rows of W_o, and the results are added.
import torch


def attention(x, w_q, w_k, w_v, w_o, num_heads, mask=None):
    output = 0.0
    for part in torch.arange(x.shape[-1]).chunk(num_heads):
        q, k, v = x @ w_q[:, part], x @ w_k[:, part], x @ w_v[:, part]
        scores = q @ k.mT / len(part) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], float("-inf"))
        output = output + scores.softmax(-1) @ (v @ w_o[part])
    return output
