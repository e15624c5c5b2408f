# expect: keys-from-query
import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, hidden_states, encoder_hidden_states=None, mask=None):
        b, t, c = hidden_states.shape
        if encoder_hidden_states is not None:
            k, v = self.k_proj(encoder_hidden_states), self.v_proj(hidden_states)
        else:
            k, v = self.k_proj(hidden_states), self.v_proj(hidden_states)
        q = self.q_proj(hidden_states)
        q, k, v = (states.view(b, t, self.num_heads, -1).transpose(1, 2) for states in (q, k, v))
        output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(output.transpose(1, 2).reshape(b, t, c))
