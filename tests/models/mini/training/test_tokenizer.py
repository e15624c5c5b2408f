"""Tokens: what the shipped tokenizer does, and how rows are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_attn_grader.models.mini.model import END_OF_TEXT
from pytest_attn_grader.models.mini.training.text import (
    PROMPT_KINDS,
    write_documents,
    write_marked_documents,
    write_prompts,
)
from pytest_attn_grader.models.mini.training.text.words import NAMES, copied_words
from pytest_attn_grader.models.mini.training.tokenizer import (
    ANSWER_BIT,
    encode_documents,
    encode_marked_documents,
    pack_rows,
    repeat_random_tokens,
    train_tokenizer,
)

if TYPE_CHECKING:
    from transformers.tokenization_utils_fast import PreTrainedTokenizerFast


def test_the_prompt_example_is_six_tokens_one_a_word(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer.encode("The cat sat on the mat")

    assert [tokenizer.decode([token]) for token in ids] == ["The", " cat", " sat", " on", " the", " mat"]


def test_vocabulary_is_small_and_begins_with_the_end_of_text(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) <= 2_048
    assert tokenizer.eos_token == tokenizer.pad_token == END_OF_TEXT
    assert tokenizer.eos_token_id == 0


def test_every_copied_word_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert [word for word in copied_words() if len(tokenizer.encode(f" {word}")) != 1] == []


def test_a_name_is_one_token_also_at_the_start_of_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    assert [name for name in NAMES if len(tokenizer.encode(name)) != 1] == []


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_answers_are_one_token(tokenizer: PreTrainedTokenizerFast, kind: str) -> None:
    assert {len(tokenizer.encode(prompt.answer)) for prompt in write_prompts(kind, 100)} == {1}


@pytest.mark.parametrize("text", ["Tom's cup, 3 €!\n", "naïve 日本", ' "Oh," said Ann.'])
def test_any_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_training_the_tokenizer_gives_the_same_one_again() -> None:
    first, second = (train_tokenizer(write_documents(200, "train"), vocabulary_size=400) for _ in range(2))

    assert first.to_str() == second.to_str()
    assert first.get_vocab_size() == 400


def test_documents_end_with_the_end_of_text(tokenizer: PreTrainedTokenizerFast) -> None:
    documents = ["The cat sat.", "Tom ran."]
    encoded = list(encode_documents(tokenizer.backend_tokenizer, documents))

    assert encoded == [[*tokenizer.encode(document), 0] for document in documents]


def test_documents_in_pieces_have_the_tokens_of_the_whole_text(tokenizer: PreTrainedTokenizerFast) -> None:
    whole = encode_documents(tokenizer.backend_tokenizer, write_documents(300, "train"))
    marked = encode_marked_documents(tokenizer.backend_tokenizer, write_marked_documents(300, "train"))

    assert [[token % ANSWER_BIT for token in document] for document in marked] == list(whole)


def test_answer_tokens_are_marked(tokenizer: PreTrainedTokenizerFast) -> None:
    (ids,) = encode_marked_documents(
        tokenizer.backend_tokenizer, [[("Tom ran. So did", False), (" Tom", True), (".", False)]]
    )

    assert [tokenizer.decode([token - ANSWER_BIT]) for token in ids if token >= ANSWER_BIT] == [" Tom"]


def test_rows_begin_with_documents_and_what_does_not_fit_is_cut_off() -> None:
    rows = pack_rows([[1, 2, 3], [4, 5], [6, 7, 8, 9], [5, 5]], rows=2, row_len=4)

    assert rows.tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]


def test_repeated_tokens_repeat_with_the_period_asked_for() -> None:
    rows = repeat_random_tokens(np.random.default_rng(0), 3, 20, 50, period=7)

    assert np.array_equal(rows[:, 7:], rows[:, :-7])
    assert rows.min() >= 1
    assert rows.max() < 50
    assert not np.array_equal(rows[0], rows[1])


def test_repeated_tokens_have_periods_of_their_own() -> None:
    rows = repeat_random_tokens(np.random.default_rng(0), 8, 40, 1_000)
    periods = {next(p for p in range(1, 40) if np.array_equal(row[p:], row[:-p])) for row in rows}

    assert len(periods) > 2
    assert periods <= set(range(4, 21))
