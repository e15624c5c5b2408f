"""The keep mask that a submission gets for what transformers passes."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.patching.dispatch import make_keep_mask

LOWEST = torch.finfo(torch.float32).min


def test_without_a_mask_a_causal_layer_hides_the_future() -> None:
    mask = make_keep_mask(None, (2, 3, 5), is_causal=True)
    expected = [[key <= query + 2 for key in range(5)] for query in range(3)]  # the last query is the last key
    assert mask.shape == (2, 1, 3, 5)
    assert mask.tolist() == [[expected]] * 2
    assert mask.is_contiguous()


def test_a_sliding_window_hides_what_is_far_back() -> None:
    mask = make_keep_mask(None, (1, 4, 4), is_causal=True, sliding_window=2)[0, 0]
    assert mask.tolist() == [[query - 2 < key <= query for key in range(4)] for query in range(4)]


def test_without_a_mask_an_encoder_sees_everything() -> None:
    assert make_keep_mask(None, (1, 3, 3), is_causal=False).all()


def test_an_additive_mask_becomes_boolean_and_is_cut_to_the_keys() -> None:
    additive = torch.zeros(1, 1, 3, 8).masked_fill(~torch.ones(3, 8).tril().bool(), LOWEST)
    assert (
        make_keep_mask(additive, (2, 3, 5), is_causal=False).tolist() == [[torch.ones(3, 5).tril().bool().tolist()]] * 2
    )


def test_a_query_without_a_key_may_look_at_its_own_position() -> None:
    """Padding on the left: a row of nothing but -inf would be NaN, and spread."""
    additive = torch.full((1, 1, 3, 3), LOWEST)
    additive[..., 2, 2] = 0
    assert make_keep_mask(additive, (1, 3, 3), is_causal=False)[0, 0].tolist() == torch.eye(3).bool().tolist()


def test_a_bias_is_no_mask() -> None:
    with pytest.raises(PatchingError, match="cannot be handed to an attention function"):
        make_keep_mask(torch.full((1, 1, 3, 3), 0.5), (1, 3, 3), is_causal=False)
