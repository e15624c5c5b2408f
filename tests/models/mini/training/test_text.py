"""The generator: the same text for the same seed, and held-out text that training never saw."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from pytest_attn_grader.models.mini import read_held_out_passages
from pytest_attn_grader.models.mini.training.text import (
    PROMPT_KINDS,
    write_document,
    write_documents,
    write_marked_documents,
    write_prompts,
)
from pytest_attn_grader.models.mini.training.text.binding import BINDINGS
from pytest_attn_grader.models.mini.training.text.words import CONTAINERS, NAMES, THINGS, a, copied_words, plural
from pytest_attn_grader.models.mini.training.text.writer import Split, Writer, is_held_out_pair


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_same_seed_same_text(split: Split) -> None:
    assert list(write_documents(50, split)) == list(write_documents(50, split))


def test_other_seed_other_text() -> None:
    assert not set(write_documents(50, "train")) & set(write_documents(50, "train", first_seed=50))


def test_no_held_out_document_is_written_in_training() -> None:
    held_out = set(write_documents(1_000, "held_out", mix={"story": 0.5, "binding": 0.5}))

    assert not held_out & set(write_documents(3_000, "train", mix={"story": 0.5, "binding": 0.5}))


def test_a_pair_is_held_out_in_both_orders_and_most_pairs_are_not() -> None:
    pairs = list(combinations(NAMES, 2))
    held_out = [pair for pair in pairs if is_held_out_pair(*pair)]

    assert all(is_held_out_pair(second, first) for first, second in held_out)
    assert 0.08 < len(held_out) / len(pairs) < 0.18


@pytest.mark.parametrize(("split", "expected"), [("train", False), ("held_out", True)])
def test_things_are_put_only_where_their_split_puts_them(split: Split, expected: bool) -> None:
    for seed in range(100):
        for thing, container in Writer(seed, split).bindings(THINGS, CONTAINERS, 3):
            assert is_held_out_pair(thing, container) is expected


def test_names_that_training_never_joins_open_every_held_out_cast() -> None:
    for seed in range(100):
        first, second, *_ = Writer(seed, "held_out").people(4)
        assert is_held_out_pair(first, second)
        assert not any(is_held_out_pair(*pair) for pair in combinations(Writer(seed, "train").people(4), 2))


def test_the_kind_of_a_document_does_not_choose_its_words() -> None:
    # one random stream for both would give every story the same few names
    stories = " ".join(write_documents(1_500, "train", mix={"story": 0.25, "repeated string": 0.75}))

    assert all(re.search(rf"\b{name}\b", stories) for name in NAMES)


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_a_prompt_breaks_off_inside_its_document(kind: str) -> None:
    for seed, prompt in enumerate(write_prompts(kind, 100)):
        assert prompt.kind == kind
        assert prompt.document == write_document(kind, seed, "held_out")
        assert prompt.document.startswith(prompt.text + prompt.answer)
        assert prompt.answer[0] == " "


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_the_answer_stands_in_the_prompt(kind: str) -> None:
    for prompt in write_prompts(kind, 100):
        assert re.search(rf"\b{prompt.answer.strip()}\b", prompt.text)


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_answers_are_marked_in_the_pieces(kind: str) -> None:
    for prompt in write_prompts(kind, 50):
        answers = [piece for piece, is_answer in prompt.pieces if is_answer]
        assert answers == [prompt.answer, *(answer for _, answer in prompt.more)]
        assert all(piece[0] == " " for piece in answers)


def test_marked_documents_are_the_same_documents() -> None:
    marked = write_marked_documents(200, "train", first_seed=7)
    joined = ["".join(piece for piece, _ in document) for document in marked]

    assert joined == list(write_documents(200, "train", first_seed=7))


def test_every_family_of_bindings_is_asked() -> None:
    questions = {prompt.text.split(". ")[-1] for prompt in write_prompts("binding", 400)}

    assert len(set(BINDINGS)) == 6
    for part in ("thanked", "is in the", "is at the", "belongs to", "on the", "works as"):
        assert any(part in question for question in questions)


def test_a_giver_is_thanked() -> None:
    prompts = [prompt for prompt in write_prompts("binding", 400) if prompt.text.endswith("thanked")]

    assert prompts
    for prompt in prompts:
        *_, taker, _ = prompt.text.split()
        assert prompt.answer.strip() != taker


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("ball", "balls"), ("box", "boxes"), ("key", "keys"), ("mouse", "mice"), ("potato", "potatoes"), ("fish", "fish")],
)
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_article() -> None:
    assert (a("orange ball"), a("red ball")) == ("an orange ball", "a red ball")


def test_copied_words_are_all_different() -> None:
    assert len(set(copied_words())) == len(copied_words())


def test_the_shipped_passages_are_held_out_stories() -> None:
    stories = [write_document("story", seed, "held_out") for seed in range(6)]

    assert list(read_held_out_passages()) == stories
