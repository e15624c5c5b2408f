"""Scores for the relations a head may encode, and which head of one map is which of another.

Each score is the mean attention on the positions that a head of that kind looks at, between 0 and 1 for attention
weights; what counts as high depends on the text, so scores are shown beside the reference's on the same text.
A map is ``(..., seq_len, seq_len)``, query rows over key columns, of one sequence. Computed and returned in float64.
"""

from __future__ import annotations

import torch

from pytest_attn_grader.attention.validation import validate_distribution_pair, validate_square


def previous_token_score(weights: torch.Tensor) -> torch.Tensor:
    """Mean attention from each token to the one before it: near 1 in a previous-token head.

    Mean over i >= 1 of p[i, i-1]. Source: Voita et al., "Analyzing Multi-Head Self-Attention", ACL 2019 (positional
    heads); Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021 (previous-token heads).

    Args:
        weights: ``(..., seq_len, seq_len)``.

    Returns:
        ``(...)``; NaN for a single token, which has none before it.

    Raises:
        ValueError: a value is not finite, or the map is not square.
    """
    return validate_square(weights).diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=-1)


def first_token_score(weights: torch.Tensor) -> torch.Tensor:
    """Mean attention from later tokens to the first one, where a head rests that has nothing to do.

    Mean over i >= 1 of p[i, 0]. Source: Vig and Belinkov, BlackboxNLP 2019 ("null" attention); Xiao et al., "Efficient
    Streaming Language Models with Attention Sinks", ICLR 2024.

    Args:
        weights: ``(..., seq_len, seq_len)``.

    Returns:
        ``(...)``; NaN for a single token.

    Raises:
        ValueError: a value is not finite, or the map is not square.
    """
    return validate_square(weights)[..., 1:, 0].mean(dim=-1)


def duplicate_token_score(weights: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Mean attention from a token to its earlier occurrences, summed over them: high in a duplicate-token head.

    Mean over tokens i that occurred before of sum over j < i with token_j = token_i of p[i, j]. Source: Wang et al.,
    "Interpretability in the Wild", ICLR 2023 (duplicate token heads).

    Args:
        weights: ``(..., seq_len, seq_len)``.
        input_ids: ``(seq_len,)``, the tokens the map belongs to.

    Returns:
        ``(...)``; NaN when no token occurs twice.

    Raises:
        ValueError: a value is not finite, the map is not square, or its length is not that of ``input_ids``.
    """
    weights = validate_square(weights, input_ids)
    return _mean_over_targets(weights, _earlier_occurrences(input_ids.to(weights.device)))


def induction_score(weights: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
    """Mean attention from a token to the tokens that followed its earlier occurrences: high in an induction head.

    On "A B ... A" the second A looks at B, which followed the first. Mean over tokens i that occurred before of the sum
    over j with token_j = token_i and j + 1 < i of p[i, j+1]; an occurrence directly before i is followed by i itself
    and is left out. Source: Olsson et al., "In-context Learning and Induction Heads", 2022 (prefix matching).

    Args:
        weights: ``(..., seq_len, seq_len)``.
        input_ids: ``(seq_len,)``, the tokens the map belongs to.

    Returns:
        ``(...)``; NaN when no token occurs twice with another token between.

    Raises:
        ValueError: a value is not finite, the map is not square, or its length is not that of ``input_ids``.
    """
    weights = validate_square(weights, input_ids)
    followers = torch.zeros_like(earlier := _earlier_occurrences(input_ids.to(weights.device)))
    followers[:, 1:] = earlier[:, :-1]
    return _mean_over_targets(weights, followers.tril(diagonal=-1))


def match_heads(student: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Match each reference head to the student head most like it, one to one: finds heads in permuted order.

    The assignment with the smallest sum of total variation distances. Source: Kuhn, "The Hungarian Method for the
    Assignment Problem", 1955; computed by scipy.optimize.linear_sum_assignment.

    Args:
        student, reference: ``(num_heads, query_len, key_len)``, rows are distributions.

    Returns:
        ``student_heads`` ``(num_heads,)``, int64: the student head matched to reference head 0, 1, …; and
        ``distances`` ``(num_heads,)``: the total variation of each match, in [0, 1].

    Raises:
        ValueError: shapes differ or are not 3-D, a value is not finite or negative, or a row does not sum to one.
    """
    from scipy.optimize import linear_sum_assignment

    if student.ndim != 3:
        raise ValueError(f"match_heads wants (num_heads, query_len, key_len), got {tuple(student.shape)}")
    student, reference = validate_distribution_pair(student, reference)
    costs = torch.stack([(student - head).abs().sum(dim=-1).mean(dim=-1) / 2 for head in reference])
    _, matched = linear_sum_assignment(costs.detach().cpu().numpy())  # costs: (reference heads, student heads)
    student_heads = torch.as_tensor(matched, dtype=torch.int64, device=student.device)
    return student_heads, costs.gather(1, student_heads[:, None]).squeeze(1)


def _earlier_occurrences(input_ids: torch.Tensor) -> torch.Tensor:
    """(seq_len, seq_len), True at [i, j] where j < i holds the same token."""
    return (input_ids[:, None] == input_ids[None, :]).tril(diagonal=-1)


def _mean_over_targets(weights: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Attention on the targets of each row, mean over the rows that have one; NaN when none has."""
    rows = targets.any(dim=-1)
    return (weights * targets).sum(dim=-1)[..., rows].mean(dim=-1)
