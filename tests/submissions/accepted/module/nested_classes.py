"""Classes in the body of the model's class: Decoder.SelfAttention, which consists of Decoder.SelfAttention.OneHead."""
import torch
from torch import nn


class Decoder(nn.Module):
    class SelfAttention(nn.Module):
        class OneHead(nn.Module):
            def __init__(self, width, size):
                super().__init__()
                self.to_q, self.to_k, self.to_v = (nn.Linear(width, size) for _ in range(3))

            def forward(self, x):
                q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
                future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
                scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(future, float("-inf"))
                return scores.softmax(-1) @ v

        def __init__(self, width, num_heads):
            super().__init__()
            self.heads = nn.ModuleList(self.OneHead(width, width // num_heads) for _ in range(num_heads))
            self.mix = nn.Linear(width, width)

        def forward(self, x):
            return self.mix(torch.cat([head(x) for head in self.heads], dim=-1))

    class Widen(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            return self.down(torch.relu(self.up(x)))

    def __init__(self, tokens, width, num_heads):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.attend, self.widen = Decoder.SelfAttention(width, num_heads), Decoder.Widen(width)

    def forward(self, ids):
        x = self.embedding(ids)
        x = x + self.attend(x)
        return x + self.widen(x)
