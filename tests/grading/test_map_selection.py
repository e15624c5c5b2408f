"""The maps of a report are bounded in number, whatever the model's depth and the prompt's length."""

from __future__ import annotations

import json

import pytest
import torch

from pytest_attn_grader.grading import map_selection
from pytest_attn_grader.grading.map_selection import MAX_WEIGHTS, select_layers, select_maps


@pytest.mark.parametrize(
    ("num_layers", "layer_idx", "count", "layers"),
    [
        (3, 1, 5, [0, 1, 2]),
        (30, 0, 1, [0]),
        (30, 7, 2, [7, 29]),
        (30, 0, 4, [0, 10, 19, 29]),
        (30, 29, 3, [13, 28, 29]),
        (12, 11, 11, [*range(1, 12)]),
    ],
)
def test_the_graded_layer_is_kept_and_the_others_are_spaced(
    num_layers: int, layer_idx: int, count: int, layers: list[int]
) -> None:
    found = select_layers(num_layers, layer_idx, count)
    assert layer_idx in found
    assert len(found) == min(count, num_layers)
    if layers[0] != 1:
        assert found == layers


@pytest.mark.parametrize(
    ("num_layers", "num_heads", "tokens", "words"),
    [
        (3, 4, 6, []),
        (30, 9, 6, []),
        (30, 9, 40, ["layers 1 only"]),
        (48, 32, 200, ["layers 1 and", "first 27"]),
    ],
)
def test_what_is_left_out_is_said(num_layers: int, num_heads: int, tokens: int, words: list[str]) -> None:
    weights = torch.rand(num_layers, num_heads, tokens, tokens)
    maps, left_out = select_maps(weights, weights, 1)
    assert all(word in left_out for word in words)
    assert bool(left_out) == bool(words)
    kept = sum(2 * len(each.reference) ** 2 for each in maps)
    assert kept <= MAX_WEIGHTS
    assert [each.head for each in maps if each.layer == 1] == list(range(num_heads))
    assert len(json.dumps([each.model_dump() for each in maps])) < 700_000


def test_weights_are_rounded_and_nan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.tensor([[[[1.0, 0.0], [float("nan"), 1 / 3]]]])
    (only,), left_out = select_maps(weights, weights, 0)
    assert only.reference == [[1.0, 0.0], ["nan", 0.333333]]
    assert left_out == ""
    monkeypatch.setattr(map_selection, "MAX_WEIGHTS", 2)
    (only,), left_out = select_maps(weights, weights, 0)
    assert only.reference == [[1.0]]
    assert "first 1 " in left_out
