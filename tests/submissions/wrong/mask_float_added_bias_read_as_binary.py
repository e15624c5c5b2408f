# expect: mask-float-added-bias
import math

ATTN_MASK = "additive"


def scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores + (1.0 - mask) * -1e9
    weights = scores.softmax(dim=-1)
    return weights @ V, weights
