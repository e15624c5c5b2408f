"""The shipped model, loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.models.mini import load_mini

if TYPE_CHECKING:
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def shipped() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    return load_mini()


@pytest.fixture
def model(shipped: tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]) -> GPT2LMHeadModel:
    return shipped[0]


@pytest.fixture
def tokenizer(shipped: tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    return shipped[1]
