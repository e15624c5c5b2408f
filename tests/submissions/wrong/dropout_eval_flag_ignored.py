# expect: dropout-eval
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    w = query @ key.mT / query.size(-1) ** 0.5
    if mask is not None:
        w = torch.where(mask, w, torch.finfo(w.dtype).min)
    w = F.dropout(w.softmax(-1), p=dropout_p)
    return w @ value
