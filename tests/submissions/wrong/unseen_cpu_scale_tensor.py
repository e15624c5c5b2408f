# expect: cpu-scale-tensor
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scale = torch.sqrt(torch.FloatTensor([query.shape[-1]]))
    energy = torch.matmul(query, key.permute(0, 1, 3, 2)) / scale
    if mask is not None:
        energy = energy.masked_fill(mask == 0, -1e10)
    attn = F.softmax(energy, dim=-1)
    x = torch.matmul(attn, value)
    return x, attn
