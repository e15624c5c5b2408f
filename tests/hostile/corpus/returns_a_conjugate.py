# attack: returns a lazily conjugated and negated tensor
# expect: wrong
import torch


def attention(query, key, value, mask=None):
    return torch.view_as_complex(torch.zeros(*value.shape, 2)).conj().imag
