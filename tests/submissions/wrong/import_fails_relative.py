# expect: import-fails
from .layers import scaled_scores


def attention(query, key, value, mask=None):
    weights = scaled_scores(query, key).masked_fill(~mask, float("-inf")).softmax(-1)
    return weights @ value, weights
