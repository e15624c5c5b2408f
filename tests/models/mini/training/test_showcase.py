"""The showcase: right with the model's own attention, wrong with a broken one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.models.mini import load_mini
from pytest_attn_grader.models.mini.training.benchmarks import MEASUREMENTS
from pytest_attn_grader.models.mini.training.interventions import attend_uniformly, patch_layer
from pytest_attn_grader.models.mini.training.predictions import continue_greedily
from pytest_attn_grader.models.mini.training.showcase import SHOWCASE_FILE, SHOWCASE_PROMPTS
from pytest_attn_grader.models.types import EMBEDDED_MODELS

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast


def test_every_prompt_goes_on_rightly_and_wrongly_when_layer_0_is_uniform(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    uniform = patch_layer(model, attend_uniformly)
    for text, right in SHOWCASE_PROMPTS.items():
        assert continue_greedily(model, tokenizer, text).startswith(right)
        assert not continue_greedily(uniform, tokenizer, text).startswith(right)


@pytest.mark.parametrize("name", EMBEDDED_MODELS)
def test_the_file_says_what_the_model_says(name: str) -> None:
    model, tokenizer = load_mini(name)
    showcase = json.loads((MEASUREMENTS / name / SHOWCASE_FILE).read_text(encoding="utf-8"))

    assert {entry["prompt"]: entry["right"] for entry in showcase} == SHOWCASE_PROMPTS
    for entry in showcase:
        assert entry["continuation"] == continue_greedily(model, tokenizer, entry["prompt"])


def test_a_continuation_ends_with_its_sentence(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
    continuation = continue_greedily(model, tokenizer, "Tom gave Ann a ball. Ann thanked", max_tokens=20)

    assert continuation.count(".") <= 1
