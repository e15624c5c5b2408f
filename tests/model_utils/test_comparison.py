"""Comparing two models on a prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.model_utils import (
    attach_tokenizer,
    replace_attention_mechanism,
    run_inference_comparison,
)
from tests.support.small_models import (
    CONFIGS,
    NUM_HEADS,
    NUM_LAYERS,
    PROMPT,
    VOCAB_SIZE,
    WordTokenizer,
    build,
    close,
    output_only,
    plain_reference,
    uniform_attention,
)


def test_the_reference_compared_with_itself(told: Any) -> None:
    figures = run_inference_comparison(told, replace_attention_mechanism(told, output_only), PROMPT)
    shapes = {
        "input_ids": (1, 6),
        "reference_attentions": (NUM_LAYERS, NUM_HEADS, 6, 6),
        "student_attentions": (NUM_LAYERS, NUM_HEADS, 6, 6),
        "reference_logits": (6, VOCAB_SIZE),
        "student_logits": (6, VOCAB_SIZE),
        "reference_next_token_probabilities": (VOCAB_SIZE,),
        "student_next_token_probabilities": (VOCAB_SIZE,),
        "cosine_similarity": (NUM_LAYERS, NUM_HEADS),
        "jensen_shannon_divergence": (NUM_LAYERS, NUM_HEADS),
        "earth_movers_distance": (NUM_LAYERS, NUM_HEADS),
        "student_row_sum_error": (NUM_LAYERS, NUM_HEADS),
        "next_token_kl_divergence": (),
        "max_logit_difference": (),
        "reference_seconds": (),
        "student_seconds": (),
    }
    assert {key: tuple(value.shape) for key, value in figures.items()} == shapes
    assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in figures.values())
    close(figures["student_logits"], figures["reference_logits"])
    close(figures["cosine_similarity"], torch.ones(NUM_LAYERS, NUM_HEADS, dtype=torch.float64))
    for name in (
        "jensen_shannon_divergence",
        "earth_movers_distance",
        "next_token_kl_divergence",
        "student_row_sum_error",
    ):
        assert figures[name].max() < 1e-6
        assert figures[name].dtype == torch.float64
    close(figures["student_next_token_probabilities"].sum(), torch.ones(()))
    with torch.no_grad():
        close(figures["reference_logits"], told(figures["input_ids"]).logits[0])
    for name in ("reference_seconds", "student_seconds"):
        assert figures[name].dtype == torch.float64
        assert 0 < figures[name] < 5


def test_a_wrong_attention_shows_where_it_is_and_what_it_does(told: Any) -> None:
    figures = run_inference_comparison(told, replace_attention_mechanism(told, uniform_attention, 1), PROMPT)
    assert figures["jensen_shannon_divergence"][0].max() < 1e-9  # the layer before
    assert figures["jensen_shannon_divergence"][1].min() > 1e-3  # the layer itself
    assert figures["jensen_shannon_divergence"][2].max() > 1e-9  # what it does to the layer after
    assert figures["next_token_kl_divergence"] > 1e-6
    assert figures["max_logit_difference"] > 1e-3


def test_an_sdpa_model_is_compared_eagerly_and_left_alone(told: Any) -> None:
    model = build("gpt2", "sdpa")
    attach_tokenizer(model, WordTokenizer())
    figures = run_inference_comparison(model, replace_attention_mechanism(model, plain_reference), PROMPT)
    assert figures["cosine_similarity"].min() > 1 - 1e-6
    assert model.config._attn_implementation == "sdpa"


def test_weights_that_are_none_give_nan_and_rows_that_do_not_sum_to_one_are_said_to_be_so(told: Any) -> None:
    def nan_weights(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        output, weights = plain_reference(query, key, value, keep_mask)
        return output, weights * torch.nan

    def doubled(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        output, weights = plain_reference(query, key, value, keep_mask)
        return 2 * output, 2 * weights

    def nothing_but_nan(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        return query * torch.nan

    figures = run_inference_comparison(told, replace_attention_mechanism(told, nan_weights), PROMPT)
    assert figures["cosine_similarity"][0].isnan().all()
    assert figures["student_row_sum_error"][0].isnan().all()
    assert figures["cosine_similarity"][1:].min() > 1 - 1e-6

    figures = run_inference_comparison(told, replace_attention_mechanism(told, doubled), PROMPT)
    close(figures["student_row_sum_error"][0], torch.ones(NUM_HEADS, dtype=torch.float64))
    assert figures["jensen_shannon_divergence"][0].max() < 1e-6

    figures = run_inference_comparison(told, replace_attention_mechanism(told, nothing_but_nan), PROMPT)
    assert figures["next_token_kl_divergence"].isnan()


@pytest.mark.skipif("bert" not in CONFIGS, reason="transformers 4 computes the attention of encoders itself")
def test_masked_language_models_compare_as_well(models: dict[str, Any]) -> None:
    attach_tokenizer(models["bert"], WordTokenizer())
    figures = run_inference_comparison(models["bert"], replace_attention_mechanism(models["bert"], output_only), PROMPT)
    assert figures["cosine_similarity"].min() > 1 - 1e-6
