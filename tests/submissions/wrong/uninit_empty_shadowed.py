# expect: uninit-empty
import torch


def attention(q, k, v, mask=None):
    out = torch.empty_like(q).detach()
    att = torch.zeros(*q.shape[:3], k.shape[2])

    def fill(result):
        s = (q @ k.mT / q.size(-1) ** 0.5).masked_fill(~mask, -1e9).softmax(-1)
        result = s @ v
        return result

    fill(out)
    return out, att
