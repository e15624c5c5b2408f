# expect: correct
import torch


def causal_attention(q, k, v):
    t_q, t_k = q.size(-2), k.size(-2)
    causal = torch.tril(torch.ones(t_q, t_k, device=q.device), diagonal=t_k - t_q).bool()
    att = (q @ k.transpose(-2, -1)) * (1.0 / q.size(-1) ** 0.5)
    att = att.masked_fill(causal == 0, float("-inf"))
    att = torch.softmax(att, dim=-1)
    return att @ v, att
