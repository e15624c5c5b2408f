# attack: looks for the right answer in the frames above
# expect: wrong
import sys

import torch


def attention(query, key, value, mask=None):
    frame = sys._getframe()
    while frame is not None:
        for found in list(frame.f_locals.values()):
            if isinstance(found, torch.Tensor) and found.shape == query.shape:
                if not any(found is given for given in (query, key, value)):
                    if found.data_ptr() not in {given.data_ptr() for given in (query, key, value)}:
                        return found
        frame = frame.f_back
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return weights @ value, weights
