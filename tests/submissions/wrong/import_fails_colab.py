# expect: import-fails
import torch
from google.colab import drive

drive.mount("/content/drive")
scale = torch.load("/content/drive/MyDrive/scale.pt")


def attention(query, key, value, mask=None):
    scores = query @ key.mT * scale
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return weights @ value, weights
