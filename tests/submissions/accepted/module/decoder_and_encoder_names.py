"""Arguments whose names begin with Q, K and V: Q_decoder, K_encoder, V_encoder."""
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, Q_decoder, K_encoder, V_encoder, mask=None):
        b, n, d = Q_decoder.shape
        q, k, v = (
            p(t).view(b, t.shape[1], self.num_heads, -1).transpose(1, 2)
            for p, t in ((self.q_proj, Q_decoder), (self.k_proj, K_encoder), (self.v_proj, V_encoder))
        )
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.out_proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, n, d))
