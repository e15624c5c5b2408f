# expect: scale-dmodel
import math
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    batch, num_heads, seq_len, head_dim = q.shape
    d_model = num_heads * head_dim

    attn_logits = torch.matmul(q, k.transpose(-2, -1))
    attn_logits = attn_logits / math.sqrt(d_model)
    if mask is not None:
        attn_logits = attn_logits.masked_fill(mask == 0, -9e15)
    attn = F.softmax(attn_logits, dim=-1)
    attn = F.dropout(attn, p=dropout_p, training=training)
    values = torch.matmul(attn, v)
    return values, attn
