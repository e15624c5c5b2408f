# expect: correct
import torch


def attention(q, k, v, mask=None):
    batch, heads, seq, dim = q.shape

    def heads_first(tensor):
        return torch.cat(tensor.unbind(1))

    scores = heads_first(q) @ heads_first(k).transpose(-2, -1) * dim**-0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, 0].repeat(heads, 1, 1), -1e9)
    output = scores.softmax(-1) @ heads_first(v)
    return output.view(heads, batch, seq, dim).transpose(0, 1)
