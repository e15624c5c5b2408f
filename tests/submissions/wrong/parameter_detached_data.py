# expect: parameter-detached
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model) for _ in range(4))

    def project(self, layer, x):
        states = F.linear(x, layer.weight.data, layer.bias.data)
        return states.view(x.size(0), x.size(1), self.num_heads, -1).transpose(1, 2)

    def forward(self, x, mask=None):
        q, k, v = (self.project(layer, x) for layer in (self.wq, self.wk, self.wv))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.wo(out.transpose(1, 2).flatten(2))
