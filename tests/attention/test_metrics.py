from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from scipy.stats import wasserstein_distance

from pytest_attn_grader.attention import metrics
from pytest_attn_grader.attention.validation import ROW_SUM_TOLERANCE
from tests.support.attention_maps import DISTANCES, NEEDS_DISTRIBUTIONS, OF_ONE_MAP, PAIRWISE, random_map


def by_row(figure, student, reference):
    """Mean over rows of a figure computed elsewhere, head by head."""
    return torch.tensor(
        [
            np.mean([figure(s.numpy(), r.numpy()) for s, r in zip(student_head, reference_head, strict=True)])
            for student_head, reference_head in zip(student, reference, strict=True)
        ],
        dtype=torch.float64,
    )


@st.composite
def pairs_of_maps(draw):
    """Two maps of equal shape, some with zeros in their rows, some nearly one-hot."""
    num_heads, query_len, key_len = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    seeds = draw(st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)))
    sharpness = draw(st.sampled_from([0.0, 1.0, 20.0]))
    causal = draw(st.booleans()) and query_len <= key_len
    return tuple(random_map(seed, num_heads, query_len, key_len, causal=causal, sharpness=sharpness) for seed in seeds)


# --- against independent implementations ---


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_agree_with_scipy(causal, dtype):
    student, reference = random_map(1, causal=causal), random_map(2, causal=causal)
    positions = np.arange(6)
    scipy_figures = {
        metrics.earth_movers_distance: lambda s, r: wasserstein_distance(positions, positions, s, r),
        metrics.jensen_shannon_divergence: lambda s, r: jensenshannon(s, r) ** 2,
        metrics.total_variation: lambda s, r: np.abs(s - r).sum() / 2,
        metrics.cosine_similarity: lambda s, r: s @ r / math.sqrt((s @ s) * (r @ r)),
        metrics.argmax_agreement: lambda s, r: float(s.argmax() == r.argmax()),
        metrics.entropy_difference: lambda s, r: scipy_entropy(s) - scipy_entropy(r),
    }
    for figure, independent in scipy_figures.items():
        ours = figure(student.to(dtype), reference.to(dtype))
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, by_row(independent, student, reference), atol=1e-6, rtol=0)


@given(pairs_of_maps())
@settings(max_examples=50, deadline=None)
def test_earth_movers_distance_agrees_with_scipy_on_any_map(maps):
    student, reference = maps
    positions = np.arange(student.shape[-1])
    expected = by_row(lambda s, r: wasserstein_distance(positions, positions, s, r), student, reference)
    torch.testing.assert_close(metrics.earth_movers_distance(student, reference), expected, atol=1e-6, rtol=0)


def test_earth_movers_distance_counts_tokens():
    near, far = torch.eye(5)[None, :1], torch.eye(5)[None, 4:]
    assert metrics.earth_movers_distance(near, far).item() == pytest.approx(4.0)


def test_entropy_and_attention_distance_agree_with_loops():
    weights = random_map(3, query_len=4, key_len=6)
    expected_entropy = [np.mean([scipy_entropy(row.numpy()) for row in head]) for head in weights]
    assert metrics.entropy(weights).tolist() == pytest.approx(expected_entropy, abs=1e-12)
    expected_distance = [
        np.mean([sum(float(head[i, j]) * abs(i + 2 - j) for j in range(6)) for i in range(4)]) for head in weights
    ]
    assert metrics.attention_distance(weights).tolist() == pytest.approx(expected_distance, abs=1e-12)


# --- properties ---


@given(pairs_of_maps())
@settings(max_examples=100, deadline=None)
def test_bounds(maps):
    student, reference = maps
    key_len = student.shape[-1]
    upper = {
        metrics.jensen_shannon_divergence: math.log(2.0),
        metrics.earth_movers_distance: key_len - 1,
        metrics.total_variation: 1.0,
        metrics.cosine_similarity: 1.0,
        metrics.argmax_agreement: 1.0,
    }
    for figure, bound in upper.items():
        values = figure(student, reference)
        assert values.shape == student.shape[:1]
        assert ((values >= 0) & (values <= bound + 1e-9)).all(), figure.__name__
    assert (metrics.entropy_difference(student, reference).abs() <= math.log(key_len) + 1e-9).all()
    assert ((metrics.entropy(student) >= -1e-12) & (metrics.entropy(student) <= math.log(key_len) + 1e-9)).all()
    assert (metrics.attention_distance(student) >= 0).all()


@given(pairs_of_maps())
@settings(max_examples=50, deadline=None)
def test_symmetry(maps):
    student, reference = maps
    for figure in (*DISTANCES, metrics.cosine_similarity):
        torch.testing.assert_close(figure(student, reference), figure(reference, student), atol=1e-12, rtol=0)
    signed = metrics.entropy_difference
    torch.testing.assert_close(signed(student, reference), -signed(reference, student), atol=1e-12, rtol=0)


@given(pairs_of_maps())
@settings(max_examples=50, deadline=None)
def test_identity(maps):
    weights, other = maps
    for figure in (*DISTANCES, metrics.entropy_difference):
        torch.testing.assert_close(
            figure(weights, weights), torch.zeros(len(weights), dtype=torch.float64), atol=1e-9, rtol=0
        )
    for figure in (metrics.cosine_similarity, metrics.argmax_agreement):
        torch.testing.assert_close(figure(weights, weights), torch.ones(len(weights), dtype=torch.float64))
    # and where they are not the same, the distances say so
    moved = (weights - other).abs().amax(dim=(-1, -2)) > 1e-3
    assert (metrics.total_variation(weights, other)[moved] > 0).all()


@given(pairs_of_maps(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_permutation(maps, random):
    student, reference = maps
    heads, keys = list(range(student.shape[0])), list(range(student.shape[-1]))
    random.shuffle(heads)
    random.shuffle(keys)
    for figure in PAIRWISE:  # heads do not influence each other
        permuted = figure(student[heads], reference[heads])
        torch.testing.assert_close(permuted, figure(student, reference)[heads], atol=1e-12, rtol=0)
    for figure in (metrics.jensen_shannon_divergence, metrics.total_variation, metrics.cosine_similarity):
        permuted = figure(student[..., keys], reference[..., keys])  # only the Earth Mover's Distance knows positions
        torch.testing.assert_close(permuted, figure(student, reference), atol=1e-12, rtol=0)


@given(pairs_of_maps())
@settings(max_examples=50, deadline=None)
def test_leading_dimensions_are_kept(maps):
    student, reference = maps
    for figure in PAIRWISE:
        stacked = figure(torch.stack([student, reference]), torch.stack([reference, student]))
        torch.testing.assert_close(stacked[0], figure(student, reference), atol=1e-12, rtol=0)


def test_a_tie_for_the_strongest_key_is_agreement():
    tied = torch.tensor([[[0.4, 0.4, 0.2]]])
    assert metrics.argmax_agreement(torch.tensor([[[0.1, 0.9, 0.0]]]), tied).item() == 1.0
    assert metrics.argmax_agreement(torch.tensor([[[0.1, 0.0, 0.9]]]), tied).item() == 0.0


# --- rounding, rows that are not judged ---


def test_row_sum_error_names_the_worst_row_of_each_head():
    weights = random_map(8).clone()
    weights[1, 2] *= 0.5
    assert metrics.row_sum_error(weights).tolist() == pytest.approx([0.0, 0.5, 0.0], abs=1e-12)


def test_a_row_of_zeros_normalises_to_uniform():
    assert metrics.normalised_rows(torch.zeros(1, 1, 4)).tolist() == [[[0.25] * 4]]


@pytest.mark.parametrize("figure", NEEDS_DISTRIBUTIONS)
def test_rounding_in_the_row_sums_is_taken_out(figure):
    others = () if figure in OF_ONE_MAP else (random_map(9),)
    rounded = random_map(8) * (1 + 0.9 * ROW_SUM_TOLERANCE)
    torch.testing.assert_close(figure(rounded, *others), figure(random_map(8), *others), atol=1e-12, rtol=0)


def test_rounding_of_half_precision_is_no_fault():
    weights = random_map(10, query_len=64, key_len=64).to(torch.bfloat16)
    assert metrics.jensen_shannon_divergence(weights, random_map(10, query_len=64, key_len=64)).max() < 1e-3


def test_importing_the_metrics_imports_no_scipy():
    program = "import sys, pytest_attn_grader.attention.metrics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
