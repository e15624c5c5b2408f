# expect: correct
def attention(q, k, v, mask=None):
    k = k.mT
    scores = q @ k / k.shape[-2] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ v, weights
