"""Start here: fill in the three TODOs, then run `pytest --attn-student=examples.student.starter`."""

import torch


def attention(query, key, value, mask=None):
    """Scaled dot-product attention.

    query, key, value: (batch, num_heads, seq, head_dim)
    mask: bool, True where a query may attend to a key, broadcastable to (batch, num_heads, query, key)

    Returns the output, of the shape of query, and the weights (batch, num_heads, query, key).
    """
    # TODO 1: how much does each query match each key? One matrix product, scaled by 1 / sqrt(head_dim).
    attn_scores = torch.zeros(*query.shape[:-1], key.shape[-2])

    # TODO 2: make the scores of masked keys very negative, then turn every row into weights that sum to 1.
    attn_weights = attn_scores

    # TODO 3: the output is the weighted sum of the values.
    attn_output = torch.zeros_like(query)

    return attn_output, attn_weights
