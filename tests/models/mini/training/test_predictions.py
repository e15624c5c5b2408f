"""Predictions: losses and next tokens against the model asked plainly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.models.mini.training.predictions import encode_answers, measure_loss, predict_next, share_equal
from pytest_attn_grader.models.mini.training.text import Prompt

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast


def test_predictions_keep_the_order_of_prompts_of_different_lengths(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = ["The cat sat on the", "Tom", "The dog sat on the", "Ann gave Tom a", "Sam"]
    prompts = [tokenizer.encode(text) for text in texts]
    with torch.inference_mode():
        expected = [int(model(torch.tensor([prompt])).logits[0, -1].argmax()) for prompt in prompts]

    assert predict_next(model, prompts) == expected


def test_the_loss_is_the_mean_over_all_tokens_but_the_first(model: GPT2LMHeadModel) -> None:
    rows = torch.randint(1_000, (40, 6), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        log_probs = model(rows).logits.log_softmax(-1)
    terms = [-log_probs[r, t, rows[r, t + 1]].item() for r in range(40) for t in range(5)]

    assert measure_loss(model, rows) == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_an_answer_of_two_tokens_is_an_error(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match=r"' two words' is \d tokens"):
        encode_answers(tokenizer, [Prompt("binding", "Say", " two words")])


def test_share_equal() -> None:
    assert share_equal([1, 2, 3, 4], [1, 2, 0, 4]) == 0.75
