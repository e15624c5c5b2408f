from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pytest_attn_grader.grading.held_out_text import ENGLISH_PASSAGES, MAX_TOKENS, held_out_passages
from pytest_attn_grader.models.mini import read_held_out_passages
from pytest_attn_grader.models.types import LoadedModel


def test_the_embedded_model_reads_its_own_language(mini: LoadedModel) -> None:
    passages = held_out_passages(mini)
    texts = read_held_out_passages()
    assert len(passages) == len(texts) > 0
    for input_ids, text in zip(passages, texts, strict=True):
        assert text.startswith(mini.tokenizer.decode(input_ids[0]))


@pytest.mark.parametrize("source", ["hub", "cache", "path"])
def test_every_other_model_reads_english(source, mini: LoadedModel) -> None:
    passages = held_out_passages(replace(mini, source=source))
    for input_ids, text in zip(passages, ENGLISH_PASSAGES, strict=True):
        whole = mini.tokenizer(text, return_tensors="pt")["input_ids"]
        assert torch.equal(input_ids, whole[:, :MAX_TOKENS])


def test_passages_fit_and_predict_something(mini: LoadedModel) -> None:
    for input_ids in held_out_passages(mini):
        assert input_ids.shape[0] == 1
        assert 2 <= input_ids.shape[1] <= MAX_TOKENS
        assert input_ids.device == mini.device


def test_a_short_context_is_kept_to(mini: LoadedModel) -> None:
    class Config:
        max_position_embeddings = 5

    class Model:
        config = Config()

    short = replace(mini, model=Model(), source="path")  # type: ignore[arg-type]
    assert {input_ids.shape for input_ids in held_out_passages(short)} == {(1, 5)}


def test_in_every_passage_words_come_back() -> None:
    for text in ENGLISH_PASSAGES:
        words = [word.strip(".,").lower() for word in text.split()]
        assert any(len(word) > 4 and words.count(word) > 1 for word in words)
