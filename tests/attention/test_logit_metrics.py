"""Figures that compare next-token distributions, against scipy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from pytest_attn_grader.attention import logit_metrics


def test_next_token_figures_agree_with_scipy_and_sets():
    generator = torch.Generator().manual_seed(4)
    student, reference = torch.randn(2, 3, 50, generator=generator, dtype=torch.float64)
    expected = [
        scipy_entropy(r.softmax(0).numpy(), s.softmax(0).numpy()) for s, r in zip(student, reference, strict=True)
    ]
    assert logit_metrics.kl_divergence(student, reference).tolist() == pytest.approx(expected, abs=1e-12)
    for k in (1, 7, 50):
        shared = [
            len(set(s.argsort(descending=True)[:k].tolist()) & set(r.argsort(descending=True)[:k].tolist())) / k
            for s, r in zip(student, reference, strict=True)
        ]
        assert logit_metrics.top_k_agreement(student, reference, k=k).tolist() == pytest.approx(shared)


def test_kl_divergence_of_equal_logits_is_zero_whatever_their_offset():
    logits = torch.randn(4, 20, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(
        logit_metrics.kl_divergence(logits + 5, logits), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_logits_must_be_finite_and_of_one_shape():
    logits = torch.zeros(2, 5)
    with pytest.raises(ValueError, match="student logits must be finite"):
        logit_metrics.kl_divergence(torch.full((2, 5), torch.nan), logits)
    with pytest.raises(ValueError, match=r"logits differ in shape: \(2, 4\) and \(2, 5\)"):
        logit_metrics.top_k_agreement(logits[:, :4], logits)
    with pytest.raises(ValueError, match="k=6 is out of range: there are 5 tokens"):
        logit_metrics.top_k_agreement(logits, logits, k=6)
