"""Figures that compare attention maps: tensors in, numbers out, nothing else.

An attention map is ``(num_heads, query_len, key_len)``; further leading dimensions (layers, batch) are kept. Each row
is one query's distribution over the keys. A figure of a map is one number a head: the mean over its query rows.

Distances are defined between distributions, so they refuse rows that do not sum to one and name the worst.
`row_sum_error` measures that error. To compute the distance of such rows, pass them through `normalised_rows` first.

Everything is computed and returned in float64.
"""

from __future__ import annotations

import math

import torch

from pytest_attn_grader.attention.reference import steps_back
from pytest_attn_grader.attention.validation import (
    validate_distribution,
    validate_distribution_pair,
    validate_finite,
    validate_finite_pair,
    validate_non_negative,
)


def cosine_similarity(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between two maps' rows: sum(s * r) / (|s| * |r|), mean over rows; 1 = same direction.

    It does not see a row's length, so rows need not sum to one; a row of zeros has no direction and counts 0.

    Args:
        student, reference: ``(..., query_len, key_len)``.

    Returns:
        ``(...)``, in [-1, 1]; in [0, 1] for non-negative rows.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    student, reference = validate_finite_pair(student, reference)
    norms = student.norm(dim=-1) * reference.norm(dim=-1)  # (..., query_len)
    cosines: torch.Tensor = (student * reference).sum(dim=-1) / norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return cosines.clamp(-1.0, 1.0).mean(dim=-1)


def jensen_shannon_divergence(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence of rows, in nats: (KL(s || m) + KL(r || m)) / 2 with m = (s + r) / 2, mean over rows.

    0 when equal, ln 2 (0.6931) when no key is shared; symmetric. The divergence, not its square root. Source: Lin,
    "Divergence Measures Based on the Shannon Entropy", IEEE Trans. Information Theory 37(1), 1991.

    Args:
        student, reference: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, nats, in [0, ln 2].

    Raises:
        ValueError: shapes differ, a value is not finite or negative, or a row does not sum to one.
    """
    student, reference = validate_distribution_pair(student, reference)
    middle = (student + reference) / 2
    divergence = (_relative_entropy(student, middle) + _relative_entropy(reference, middle)) / 2
    return divergence.clamp(0.0, math.log(2.0)).mean(dim=-1)


def earth_movers_distance(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Earth Mover's Distance over key positions, in tokens: how far, on average, attention has to be moved.

    Keys stand one apart on a line, where the Wasserstein-1 distance is the L1 distance of the cumulative distributions,
    sum over positions of |CDF_s - CDF_r|, mean over rows. Source: Vallender, "Calculation of the Wasserstein Distance
    Between Probability Distributions on the Line", Theory of Probability and its Applications 18(4), 1974.

    Args:
        student, reference: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, tokens, in [0, key_len - 1].

    Raises:
        ValueError: shapes differ, a value is not finite or negative, or a row does not sum to one.
    """
    student, reference = validate_distribution_pair(student, reference)
    # The last entry of both is 1; leaving it out keeps its rounding out.
    gaps = (student.cumsum(dim=-1) - reference.cumsum(dim=-1))[..., :-1].abs()  # (..., query_len, key_len - 1)
    return gaps.sum(dim=-1).mean(dim=-1)


def total_variation(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Total variation distance: the share of attention that lies on other keys, sum |s - r| / 2, mean over rows.

    Source: Levin, Peres, Wilmer, "Markov Chains and Mixing Times", 2009, proposition 4.2.

    Args:
        student, reference: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, in [0, 1].

    Raises:
        ValueError: shapes differ, a value is not finite or negative, or a row does not sum to one.
    """
    student, reference = validate_distribution_pair(student, reference)
    return (student - reference).abs().sum(dim=-1).div(2).mean(dim=-1)


def argmax_agreement(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Share of rows whose strongest key is the reference's strongest key.

    A tie counts as agreement: the student's strongest key must carry, in the reference, the reference's largest weight.

    Args:
        student, reference: ``(..., query_len, key_len)``.

    Returns:
        ``(...)``, in [0, 1].

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    student, reference = validate_finite_pair(student, reference)
    chosen = reference.gather(-1, student.argmax(dim=-1, keepdim=True)).squeeze(-1)  # (..., query_len)
    return (chosen >= reference.amax(dim=-1)).to(torch.float64).mean(dim=-1)


def entropy(weights: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of rows, in nats: -sum p ln p, mean over rows; 0 = one key only, ln key_len = all equal.

    Source: Shannon, "A Mathematical Theory of Communication", Bell System Technical Journal 27, 1948.

    Args:
        weights: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, nats, in [0, ln key_len].

    Raises:
        ValueError: a value is not finite or negative, or a row does not sum to one.
    """
    weights = validate_distribution(weights, "weights")
    return _row_entropies(weights).mean(dim=-1)


def entropy_difference(student: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Student's entropy minus the reference's, in nats: positive = the student spreads its attention wider.

    Args:
        student, reference: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, nats, in [-ln key_len, ln key_len].

    Raises:
        ValueError: shapes differ, a value is not finite or negative, or a row does not sum to one.
    """
    student, reference = validate_distribution_pair(student, reference)
    return (_row_entropies(student) - _row_entropies(reference)).mean(dim=-1)


def attention_distance(weights: torch.Tensor) -> torch.Tensor:
    """Mean distance attention looks, in tokens: sum over keys j of p_ij * |i - j|, mean over rows i.

    With fewer queries than keys (a cache) the queries are the last positions. Source: Vig and Belinkov, "Analyzing the
    Structure of Attention in a Transformer Language Model", BlackboxNLP 2019, section 4.4.

    Args:
        weights: ``(..., query_len, key_len)``, rows are distributions.

    Returns:
        ``(...)``, tokens, in [0, key_len - 1].

    Raises:
        ValueError: a value is not finite or negative, or a row does not sum to one.
    """
    query_len, key_len = weights.shape[-2:]
    distances = steps_back(query_len, key_len, device=weights.device).abs()
    weights = validate_distribution(weights, "weights")
    return (weights * distances).sum(dim=-1).mean(dim=-1)


def row_sum_error(weights: torch.Tensor) -> torch.Tensor:
    """Largest |1 - sum of a row| of each head: 0 for attention weights, whatever else for something else.

    Args:
        weights: ``(..., query_len, key_len)``.

    Returns:
        ``(...)``, at least 0.

    Raises:
        ValueError: a value is not finite.
    """
    weights = validate_finite(weights, "weights")
    return (weights.sum(dim=-1) - 1).abs().amax(dim=-1)


def normalised_rows(weights: torch.Tensor) -> torch.Tensor:
    """Rows divided by their sum: for a caller who wants a distance between rows that are no distributions all the same.

    Args:
        weights: ``(..., query_len, key_len)``, non-negative.

    Returns:
        The same shape in float64, rows summing to one; a row of zeros becomes uniform (it says nothing about the keys).

    Raises:
        ValueError: a value is not finite or negative.
    """
    weights = validate_non_negative(validate_finite(weights, "weights"), "weights")
    sums = weights.sum(dim=-1, keepdim=True)
    return torch.where(sums > 0, weights / sums.where(sums > 0, torch.ones_like(sums)), 1.0 / weights.shape[-1])


def _relative_entropy(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """sum p ln(p / q) of each row, with 0 ln 0 = 0."""
    divergences: torch.Tensor = (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(dim=-1)
    return divergences


def _row_entropies(weights: torch.Tensor) -> torch.Tensor:
    """-sum p ln p of each row, with 0 ln 0 = 0."""
    entropies: torch.Tensor = -torch.special.xlogy(weights, weights).sum(dim=-1)
    return entropies
