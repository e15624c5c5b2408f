# expect: import-fails
import torch
from google.colab import drive

drive.mount("/content/drive")


def attention(query, key, value, mask=None):
    scores = query @ key.mT * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return weights @ value, weights
