"""A package of relative imports, 64 wide, one head."""
from torch import nn

from . import ops
from .sizes import WIDTH


class TinyAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_projection = nn.Linear(WIDTH, WIDTH)
        self.key_projection = nn.Linear(WIDTH, WIDTH)
        self.value_projection = nn.Linear(WIDTH, WIDTH)
        self.output_projection = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, attention_mask=None):
        weights = ops.weights(self.query_projection(x), self.key_projection(x), attention_mask)
        return self.output_projection(weights @ self.value_projection(x)), weights
