"""Figures that compare next-token distributions: logits in, numbers out."""

from __future__ import annotations

import torch

from pytest_attn_grader.attention.validation import validate_finite, validate_same_shape


def kl_divergence(student_logits: torch.Tensor, reference_logits: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of next-token distributions, in nats: sum p_ref * (ln p_ref - ln p_student).

    How many nats worse one predicts with the student's model where the reference's is the truth; not symmetric.
    Source: Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22(1), 1951.

    Args:
        student_logits, reference_logits: ``(..., vocab_size)``, before softmax.

    Returns:
        ``(...)``, nats, at least 0.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    student_logits, reference_logits = _finite_logits(student_logits, reference_logits)
    student_log_probabilities = student_logits.log_softmax(dim=-1)
    reference_log_probabilities = reference_logits.log_softmax(dim=-1)
    differences = reference_log_probabilities.exp() * (reference_log_probabilities - student_log_probabilities)
    return differences.sum(dim=-1).clamp_min(0.0)


def top_k_agreement(student_logits: torch.Tensor, reference_logits: torch.Tensor, *, k: int = 10) -> torch.Tensor:
    """Share of the reference's k likeliest next tokens that are among the student's k likeliest.

    Args:
        student_logits, reference_logits: ``(..., vocab_size)``.
        k: how many; at most ``vocab_size``.

    Returns:
        ``(...)``, in [0, 1].

    Raises:
        ValueError: shapes differ, a value is not finite, or k is out of range.
    """
    student_logits, reference_logits = _finite_logits(student_logits, reference_logits)
    vocab_size = student_logits.shape[-1]
    if not 1 <= k <= vocab_size:
        raise ValueError(f"k={k} is out of range: there are {vocab_size} tokens, so k goes from 1 to {vocab_size}")
    student_top = student_logits.topk(k, dim=-1).indices  # (..., k)
    reference_top = reference_logits.topk(k, dim=-1).indices  # (..., k)
    shared = (reference_top[..., :, None] == student_top[..., None, :]).any(dim=-1)  # (..., k)
    return shared.to(torch.float64).mean(dim=-1)


def _finite_logits(student_logits: torch.Tensor, reference_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    validate_same_shape(student_logits, reference_logits, "logits")
    return validate_finite(student_logits, "student logits"), validate_finite(reference_logits, "reference logits")
