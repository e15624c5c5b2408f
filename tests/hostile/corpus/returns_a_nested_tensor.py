# attack: returns a nested tensor
# expect: malformed-reply
import warnings

import torch

warnings.simplefilter('ignore')


def attention(query, key, value, mask=None):
    return torch.nested.nested_tensor([row.detach() for row in value])
