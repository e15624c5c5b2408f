# expect: scale-other
import math
import torch.nn.functional as F

D_MODEL = 512


def attention(query, key, value, attn_mask=None):
    """As in the paper: d_model = 512."""
    logits = query.matmul(key.transpose(2, 3)).mul(1 / math.sqrt(D_MODEL))
    if attn_mask is not None:
        logits = logits.masked_fill(attn_mask.logical_not(), float("-inf"))
    return F.softmax(logits, dim=-1).matmul(value)
