# expect: tolist
import math
import torch


def attention(query, key, value, mask=None):
    assert query.dim() == 2
    rows = []
    for i, question in enumerate(query.tolist()):
        s = torch.mv(key, torch.tensor(question)) / math.sqrt(len(question))
        if mask is not None:
            s = s.masked_fill(~mask[i], -1e9)
        rows.append(torch.softmax(s, 0) @ value)
    return torch.stack(rows)
