# expect: correct
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0):
    # like F.scaled_dot_product_attention: dropout_p is 0 unless the caller trains
    w = torch.softmax((query @ key.mT / query.size(-1) ** 0.5).masked_fill(~mask, -torch.inf), -1)
    return F.dropout(w, dropout_p) @ value
