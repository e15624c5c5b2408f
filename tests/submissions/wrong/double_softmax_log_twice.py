# expect: double-softmax
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    att = (q @ k.mT) / q.shape[-1] ** 0.5
    if mask is not None:
        att = att.masked_fill(mask.logical_not(), -1e9)
    probabilities = att.log_softmax(-1).exp()
    probabilities = F.softmax(probabilities, -1)
    return probabilities @ v, probabilities
