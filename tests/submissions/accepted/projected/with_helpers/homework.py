"""A file that imports another beside it."""
from helpers import hide, stable_softmax


def attention(hidden, q_proj, k_proj, v_proj, mask=None):
    scores = (hidden @ q_proj) @ (hidden @ k_proj).transpose(-1, -2) / q_proj.size(1) ** 0.5
    return stable_softmax(hide(scores, mask)) @ (hidden @ v_proj)
