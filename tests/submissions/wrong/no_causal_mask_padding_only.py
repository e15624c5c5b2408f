# expect: no-causal-mask
import torch


def attention(query, key, value, mask=None):
    att = query @ key.mT * query.shape[-1] ** -0.5
    if mask is not None:
        padding = mask[:, :, -1:, :]              # the last row knows which keys are real
        att = att.masked_fill(~padding, -1e9)
    att = att.softmax(-1)
    return att @ value, att
