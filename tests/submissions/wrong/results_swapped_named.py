# expect: results-swapped
from torch import Tensor, einsum


def attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logits = einsum("bhid,bhjd->bhij", queries, keys) * keys.shape[-1] ** -0.5
    if mask is not None:
        logits = logits.masked_fill(mask.eq(0), -1e9)
    attn = logits.softmax(dim=-1)
    context = einsum("bhij,bhjd->bhid", attn, values)
    return attn, context
