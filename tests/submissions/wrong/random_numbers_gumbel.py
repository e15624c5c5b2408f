# expect: random-numbers
import torch.nn.functional as F


def attend(q, k, v, mask):
    s = (q @ k.mT) * q.shape[-1] ** -0.5
    return F.gumbel_softmax(s.masked_fill(~mask, -1e9), tau=1.0, dim=-1) @ v
