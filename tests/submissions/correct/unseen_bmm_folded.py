# expect: correct
import math
import torch
import torch.nn as nn


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    bsz, n_heads, q_len, head_dim = q.size()
    k_len = k.size(2)

    # fold the heads into the batch so that bmm can be used
    q = q.reshape(bsz * n_heads, q_len, head_dim)
    k = k.reshape(bsz * n_heads, k_len, head_dim)
    v = v.reshape(bsz * n_heads, k_len, head_dim)

    energy = torch.bmm(q, k.permute(0, 2, 1)) / math.sqrt(head_dim)

    if mask is not None:
        mask = mask.expand(bsz, 1, q_len, k_len)[:, 0]
        mask = mask.repeat_interleave(n_heads, dim=0)     # (bsz * n_heads, q, k)
        energy = energy.masked_fill(mask == False, float("-inf"))  # noqa: E712

    attention_weights = nn.Softmax(dim=2)(energy)
    attention_weights = nn.functional.dropout(attention_weights, p=dropout_p, training=training)
    output = torch.bmm(attention_weights, v)
    return (
        output.view(bsz, n_heads, q_len, head_dim),
        attention_weights.view(bsz, n_heads, q_len, k_len),
    )
