"""An object with __call__, made once at the end of the file."""
# chosen with :attention
import torch


class Attention:
    def __init__(self, fill=-1e9):
        self.fill = fill

    def scores(self, query, key):
        return query.matmul(key.transpose(-1, -2)) / query.shape[-1] ** 0.5

    def __call__(self, query, key, value, mask=None):
        scores = self.scores(query, key)
        if mask is not None:
            scores = scores.masked_fill(~mask, self.fill)
        weights = torch.nn.Softmax(dim=-1)(scores)
        return weights.matmul(value), weights


attention = Attention()
