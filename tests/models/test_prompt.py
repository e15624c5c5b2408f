from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.models.types import LoadedModel
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE


def test_the_example_has_a_token_a_word(mini: LoadedModel) -> None:
    prompt = tokenize_prompt(PROMPT_EXAMPLE, mini)
    assert prompt.text == PROMPT_EXAMPLE
    assert prompt.tokens == ("The", " cat", " sat", " on", " the", " mat")
    assert tuple(prompt.input_ids.shape) == (1, 6)
    assert prompt.input_ids.dtype == torch.int64
    assert prompt.input_ids.device == mini.device
    assert mini.tokenizer.decode(prompt.input_ids[0]) == PROMPT_EXAMPLE


@pytest.mark.parametrize("text", ["The", " "])
def test_a_single_token_has_nothing_to_attend_to(text: str, mini: LoadedModel) -> None:
    with pytest.raises(UsageError) as caught:
        tokenize_prompt(text, mini)
    assert str(caught.value) == f"--attn-prompt={text!r} is 1 token for mini: give at least two."


def test_a_prompt_as_long_as_the_context_and_one_longer(mini: LoadedModel) -> None:
    limit = mini.model.config.max_position_embeddings
    assert tokenize_prompt(" cat" * limit, mini).input_ids.shape == (1, limit)
    with pytest.raises(UsageError) as caught:
        tokenize_prompt(" cat" * (limit + 1), replace(mini, used="owner/model"))
    assert str(caught.value) == (
        f"--attn-prompt is {limit + 1} tokens long, and owner/model takes at most {limit}: shorten it."
    )


def test_any_text_has_tokens(mini: LoadedModel) -> None:
    prompt = tokenize_prompt("naïve 🙂 \x1b[31m\n", mini)
    assert len(prompt.tokens) == prompt.input_ids.shape[-1]
    assert all(isinstance(token, str) for token in prompt.tokens)
