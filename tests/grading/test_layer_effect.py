from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader._utils import fork_cache
from pytest_attn_grader.grading.held_out_text import (
    MAX_HELD_OUT_TEXTS,
    PassageResult,
    evaluate_passage,
    held_out_passages,
    mean_loss,
)
from pytest_attn_grader.grading.layer_effect import measure_layer_effect, uniform_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.models.types import LoadedModel


def test_uniform_attention_uses_neither_query_nor_key() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    keep_mask = torch.ones(5, 5, dtype=torch.bool).tril()
    attn_output, attn_weights = uniform_attention(query, key, value, keep_mask)
    torch.testing.assert_close(attn_weights[0, 0], torch.ones(5, 5).tril() / torch.arange(1, 6)[:, None])
    torch.testing.assert_close(attn_output[..., -1, :], value.mean(dim=-2))


def test_every_layer_of_mini_matters_and_the_first_one_most(mini: LoadedModel) -> None:
    effects = [measure_layer_effect(mini, (layer_idx,)) for layer_idx in range(3)]
    assert effects[0] > 2 > min(effects) > 0.1
    assert measure_layer_effect(mini, (0, 1, 2)) > 2


def test_without_layers_there_is_no_effect(mini: LoadedModel) -> None:
    assert measure_layer_effect(mini, ()) == 0


def test_a_loss_that_is_known_is_not_measured_again(mini: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = []

    def evaluate(model: PreTrainedModel, input_ids: torch.Tensor) -> PassageResult:
        evaluated.append(model)
        return evaluate_passage(model, input_ids)

    monkeypatch.setattr("pytest_attn_grader.grading.layer_effect.evaluate_passage", evaluate)
    expected = measure_layer_effect(mini, (1,))
    assert mini.model in evaluated
    own = mean_loss([evaluate_passage(mini.model, each) for each in held_out_passages(mini)[:MAX_HELD_OUT_TEXTS]])
    evaluated.clear()
    assert measure_layer_effect(mini, (1,), own) == pytest.approx(expected, abs=1e-6)
    assert evaluated
    assert mini.model not in evaluated


def test_in_a_class_it_is_measured_once(mini: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    fork_cache.enable()
    try:
        first = measure_layer_effect(mini, (1,))
        monkeypatch.setattr("pytest_attn_grader.grading.layer_effect.evaluate_passage", None)
        assert measure_layer_effect(mini, (1,)) == first
    finally:
        fork_cache.disable()
