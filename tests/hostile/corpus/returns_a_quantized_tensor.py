# attack: returns a quantized tensor
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return torch.quantize_per_tensor(value.detach().float(), 0.1, 0, torch.qint8)
