"""Maps to measure, and the figures that measure them."""

from __future__ import annotations

import math

import torch

from pytest_attn_grader.attention import metrics

DISTANCES = (metrics.jensen_shannon_divergence, metrics.earth_movers_distance, metrics.total_variation)
PAIRWISE = (*DISTANCES, metrics.cosine_similarity, metrics.argmax_agreement, metrics.entropy_difference)
OF_ONE_MAP = (metrics.entropy, metrics.attention_distance)
NEEDS_DISTRIBUTIONS = (*DISTANCES, metrics.entropy_difference, *OF_ONE_MAP)


def random_map(
    seed: int, num_heads: int = 3, query_len: int = 6, key_len: int = 6, *, causal: bool = False, sharpness: float = 2.0
) -> torch.Tensor:
    """Attention weights of random scores, ``(num_heads, query_len, key_len)``, in float64."""
    generator = torch.Generator().manual_seed(seed)
    scores = sharpness * torch.randn(num_heads, query_len, key_len, generator=generator, dtype=torch.float64)
    if causal:
        scores = scores.masked_fill(~torch.ones(query_len, key_len).tril(key_len - query_len).bool(), -math.inf)
    return scores.softmax(dim=-1)
