"""QK-norm: norm, weights and rotation equal a loop over every number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.attention.query_key_norm import NormAxis, Preparation, normalise
from pytest_attn_grader.attention.rotation import Rotation
from pytest_attn_grader.attention.tolerances import derive_tolerance

AXES: tuple[NormAxis, ...] = ("head_dim", "width")


def random_pair(query_len: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 5, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    return query[:, :, -query_len:], key


def prepared_by_loops(states: Tensor, weight: Tensor, over: NormAxis, base: float | None, past: int) -> Tensor:
    result = torch.zeros_like(states)
    batch_size, num_heads, seq_len, head_dim = states.shape
    for b, h, t in ((b, h, t) for b in range(batch_size) for h in range(num_heads) for t in range(seq_len)):
        heads = [h] if over == "head_dim" else range(num_heads)
        squares = [float(states[b, each, t, d]) ** 2 for each in heads for d in range(head_dim)]
        root = math.sqrt(sum(squares) / len(squares))
        row = [float(weight[0, 0, d] * states[b, h, t, d]) / root for d in range(head_dim)]
        for d in range(head_dim // 2):
            angle = 0.0 if base is None else (t + past) * base ** (-2 * d / head_dim)
            low, high = row[d], row[d + head_dim // 2]
            result[b, h, t, d] = low * math.cos(angle) - high * math.sin(angle)
            result[b, h, t, d + head_dim // 2] = high * math.cos(angle) + low * math.sin(angle)
    return result


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("base", [None, 10_000.0, 50.0])
@pytest.mark.parametrize("query_len", [5, 2])
def test_it_equals_a_loop(over: NormAxis, base: float | None, query_len: int) -> None:
    query, key = random_pair(query_len)
    preparation = Preparation(over, None if base is None else Rotation("halves", base))
    query_weight, key_weight = preparation.weights(8)
    found = preparation(query, key)

    torch.testing.assert_close(found[0], prepared_by_loops(query, query_weight, over, base, 5 - query_len))
    torch.testing.assert_close(found[1], prepared_by_loops(key, key_weight, over, base, 0))


@pytest.mark.parametrize("over", AXES)
def test_the_axes_differ_and_a_factor_changes_nothing(over: NormAxis) -> None:
    query, _ = random_pair()
    other: NormAxis = "width" if over == "head_dim" else "head_dim"

    torch.testing.assert_close(normalise(7 * query, over), normalise(query, over))
    assert (normalise(query, over) - normalise(query, other)).abs().max() > 0.1
    assert torch.equal(normalise(torch.zeros_like(query), over), torch.zeros_like(query))


def test_the_weights_are_exact_in_every_dtype_and_differ() -> None:
    for weight in Preparation("head_dim").weights(48):
        assert torch.equal(weight.bfloat16().double(), weight)
        assert torch.equal((weight - 1).half().double(), weight - 1)
        assert len(set(weight.flatten().tolist())) == 7
        assert float(weight.min()) > 0.5


def test_the_rotation_is_undone() -> None:
    query, key = random_pair(2)
    preparation = Preparation("head_dim", Rotation("neighbours", 10_000.0))

    found = preparation.rotate(*preparation.rotate(query, key), backwards=True)
    for actual, expected in zip(found, (query, key), strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_probe_with_a_preparation_has_a_reference_of_prepared_inputs() -> None:
    plain = build_probe(SPEC_BY_NAME["single"], seed=0)
    probe = plain.with_preparation(Preparation("head_dim", Rotation("halves", 10_000.0)))
    reference, _ = derive_tolerance(probe)
    query, key = (tensor.double() for tensor in probe.prepared)
    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~probe.keep_mask, -torch.inf)
    assert reference.attn_output is not None

    torch.testing.assert_close(
        reference.attn_output, scores.softmax(-1) @ probe.value.double(), atol=1e-6, rtol=1e-6, check_dtype=False
    )
    assert probe.fingerprint != plain.fingerprint
    assert plain.with_preparation(None) is plain
    gradient = reference.gradients["query"]
    assert gradient is not None
    # A norm takes no account of a vector's length: the gradient is at right angles to it.
    along = (gradient.detach() * probe.query.double()).sum(-1).abs().max()
    assert float(along) < 1e-12
