"""c_attn and c_proj with their biases and n_head, as GPT-2 written out in one function; causal by itself."""
import torch


def softmax(x):
    exp_x = torch.exp(x - torch.amax(x, dim=-1, keepdim=True))
    return exp_x / exp_x.sum(dim=-1, keepdim=True)


def mha(x, w_qkv, b_qkv, w_out, b_out, n_head):
    x = x @ w_qkv + b_qkv
    q, k, v = torch.split(x, x.shape[-1] // 3, dim=-1)
    causal = (1 - torch.tril(torch.ones(x.shape[1], x.shape[1], dtype=x.dtype))) * -1e10
    outs = []
    for qh, kh, vh in zip(q.chunk(n_head, -1), k.chunk(n_head, -1), v.chunk(n_head, -1)):
        outs.append(softmax(qh @ kh.transpose(1, 2) / qh.shape[-1] ** 0.5 + causal) @ vh)
    return torch.cat(outs, dim=-1) @ w_out + b_out
