# expect: qk-not-transposed
def dot_product_attention(q, k, v, mask=None):
    width = q.shape[-1]
    compatibility = q.transpose(-2, -1) @ k
    compatibility = compatibility / width**0.5
    if mask is not None:
        compatibility = compatibility.masked_fill(mask.logical_not(), -1e9)
    return compatibility.softmax(dim=-1) @ v
