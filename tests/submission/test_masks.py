"""A keep mask in every convention and shape that a submission may take."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.submission.masks import (
    BATCH_LAST,
    BIASED,
    INFINITE,
    PADDING,
    PER_EXAMPLE,
    PER_HEAD,
    SQUARE,
    as_lengths,
    bias_of_keys,
    to_mask_convention,
    to_mask_shape,
)

# Two examples of four tokens; the last token of the second is padding. Both hide the future.
KEEP = torch.ones(2, 1, 4, 4, dtype=torch.bool).tril()
KEEP[1, ..., 3] = False


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_additive_mask_hides_exactly_what_the_keep_mask_does(dtype: torch.dtype) -> None:
    additive = to_mask_convention(KEEP, "additive", dtype)
    assert additive.dtype == dtype
    assert torch.equal(additive == 0, KEEP)
    weights = (torch.zeros(2, 1, 4, 4, dtype=dtype) + additive).softmax(dim=-1)
    assert torch.equal(weights > 0, KEEP)


def test_boolean_conventions_are_each_other_s_opposite() -> None:
    keep = to_mask_convention(KEEP, "keep", torch.float32)
    blocked = to_mask_convention(KEEP, "blocked", torch.float32)
    assert keep.dtype == blocked.dtype == torch.bool
    assert torch.equal(keep, ~blocked)
    numeric = to_mask_convention(KEEP, "blocked", torch.float32, is_numeric=True)
    assert numeric.dtype == torch.float32
    assert torch.equal(numeric, blocked.float())


def test_a_biased_mask_moves_the_scores_of_what_is_kept() -> None:
    biased = to_mask_convention(KEEP, BIASED, torch.float32)
    assert torch.equal(biased[KEEP], bias_of_keys(4).expand(2, 1, 4, 4)[KEEP])
    assert (biased[~KEEP] < -1e30).all()


def test_an_infinite_mask_is_finite_where_it_is_kept() -> None:
    infinite = to_mask_convention(KEEP, INFINITE, torch.float32)
    assert torch.equal(infinite == 0, KEEP)
    assert infinite[~KEEP].isneginf().all()


def test_shapes() -> None:
    assert to_mask_shape(KEEP, PER_HEAD).shape == (2, 1, 4, 4)
    assert torch.equal(to_mask_shape(KEEP, PER_EXAMPLE), KEEP.squeeze(1))
    assert to_mask_shape(KEEP, PADDING).tolist() == [[True] * 4, [True, True, True, False]]
    assert torch.equal(to_mask_shape(KEEP, SQUARE), torch.ones(4, 4).tril().bool())
    batch_last = to_mask_shape(KEEP, BATCH_LAST)
    assert batch_last.shape == (4, 4, 2)
    assert all(torch.equal(batch_last[..., example], KEEP[example, 0]) for example in range(2))


def test_lengths_with_ordered_keys_keep_what_the_mask_keeps() -> None:
    keep = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    keep[..., 2] = True
    order, lengths = as_lengths(keep)
    by_length = torch.arange(7) < lengths[..., None]  # of the ordered keys
    assert torch.equal(torch.zeros_like(keep).scatter(-1, order, by_length), keep)


def test_a_row_without_a_key_has_length_one() -> None:
    assert as_lengths(torch.zeros(1, 3, dtype=torch.bool))[1].tolist() == [1]
