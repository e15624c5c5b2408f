"""Block by block with a running maximum, and the sizes of the blocks as arguments: f(q, k, v, mask, block_q, block_k)."""
import torch


def flash_attention(q, k, v, mask, block_q, block_k):
    n, m = q.shape[-2], k.shape[-2]
    mask = mask.expand(*q.shape[:-1], m)
    out = torch.empty_like(q)
    for i in range(0, n, block_q):
        rows = slice(i, i + block_q)
        q_i = q[..., rows, :] * q.shape[-1] ** -0.5
        top = torch.full_like(q_i[..., :1], torch.finfo(q.dtype).min)
        total, acc = torch.zeros_like(top), torch.zeros_like(q_i)
        for j in range(0, m, block_k):
            cols = slice(j, j + block_k)
            s = q_i @ k[..., cols, :].transpose(-2, -1)
            s = s.masked_fill(~mask[..., rows, cols], torch.finfo(q.dtype).min)
            new = torch.maximum(top, s.amax(-1, keepdim=True))
            p, shrink = (s - new).exp(), (top - new).exp()
            total = total * shrink + p.sum(-1, keepdim=True)
            acc = acc * shrink + p @ v[..., cols, :]
            top = new
        out[..., rows, :] = acc / total
    return out
