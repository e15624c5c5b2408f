"""forward(v, k, q, mask) in this order, wq, wk, wv and dense, a mask that is 1 where it blocks."""
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    ATTN_MASK = "blocked"

    def __init__(self, *, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.depth = d_model // num_heads
        self.wq = nn.Linear(d_model, d_model)
        self.wk = nn.Linear(d_model, d_model)
        self.wv = nn.Linear(d_model, d_model)
        self.dense = nn.Linear(d_model, d_model)

    def split_heads(self, x, batch_size):
        return x.reshape(batch_size, -1, self.num_heads, self.depth).permute(0, 2, 1, 3)

    def forward(self, v, k, q, mask):
        batch_size = q.shape[0]
        q = self.split_heads(self.wq(q), batch_size)
        k = self.split_heads(self.wk(k), batch_size)
        v = self.split_heads(self.wv(v), batch_size)
        logits = torch.matmul(q, k.transpose(-1, -2)) / self.depth**0.5
        logits += mask * -1e9
        attention_weights = torch.softmax(logits, dim=-1)
        scaled_attention = torch.matmul(attention_weights, v).permute(0, 2, 1, 3)
        concat_attention = scaled_attention.reshape(batch_size, -1, self.d_model)
        return self.dense(concat_attention), attention_weights
