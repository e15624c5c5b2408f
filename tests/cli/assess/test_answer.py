from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest

from pytest_attn_grader.cli.assess.answer import (
    SCHEMA_FEEDBACK_CHARS,
    SCHEMA_POINT_CHARS,
    SCHEMA_POINTS,
    SCHEMA_SUMMARY_CHARS,
    Answer,
    MalformedAnswerError,
    answer_schema,
    bounded_criteria,
    bounded_level,
    bounded_list,
    read_answer,
    sanitize,
)
from pytest_attn_grader.results.assessment import MAX_FEEDBACK_CHARS, MAX_POINT_CHARS, MAX_POINTS, MAX_SUMMARY_CHARS
from pytest_attn_grader.results.report import Level
from tests.cli.assess.conftest import answer, evaluation

HOSTILE = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202e\x00\ud800\r::error::x\U000e0041"
LEVELS: tuple[Level, ...] = get_args(Level)


def read(**more: Any) -> Answer:
    return read_answer(json.dumps(answer(**more)), evaluation())


def changed(**change: str) -> dict[str, dict[str, str]]:
    """The criteria of a right answer, each with this change."""
    return {category: criterion | change for category, criterion in answer()["criteria"].items()}


KEYS = "criteria must be an object with these keys: masking, equivalence, gradients"


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "<think>Hm.</think>\n\n{}", "Here you are:\n{}\nDone."])
def test_what_stands_around_the_object_is_left_out(around: str) -> None:
    assert read_answer(around.replace("{}", json.dumps(answer())), evaluation()).summary == "Scale it."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no JSON object in it"),
        ("} {", "there is no JSON object in it"),
        ("{'a': 1}", "it is not valid JSON"),
        ('{"a": ' + "[" * 100_000 + "}", "it is not valid JSON"),
        ("{}", "it does not fit the schema, at criteria: it is missing"),
        (answer(points=100), "it does not fit the schema, at the top: there is a field that was not asked for"),
        (answer(score=100), "it does not fit the schema, at the top: there is a field that was not asked for"),
        (answer(summary=None), "it does not fit the schema, at summary: it has another type or value"),
        (answer(summary=" \n"), "summary or a feedback is empty"),
        (answer(criteria={}), KEYS),
        (answer(criteria=dict(list(answer()["criteria"].items())[:2])), KEYS),
        (answer(criteria=changed() | {"shape": {"level": "met", "feedback": "x"}}), KEYS),
        (answer(criteria=[]), "at criteria: it has another type"),
        (
            answer(criteria={"all": {"level": "met", "feedback": "x"}}),
            "at criteria: it has another",
        ),
        (answer(criteria=changed(level="superb")), "at criteria.masking.level: it has another"),
        (answer(criteria=changed(points="9")), "at criteria.masking: there is a field that was not"),
    ],
)
def test_what_cannot_be_used_is_said_in_our_words(text: str | dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedAnswerError) as caught:
        read_answer(text if isinstance(text, str) else json.dumps(text), evaluation())
    assert why in str(caught.value)


@pytest.mark.parametrize(("claimed", "earned"), itertools.product(LEVELS, LEVELS))
def test_no_level_is_above_the_checks(claimed: Level, earned: Level) -> None:
    worth = {"not-assessed": 0, "not-met": 1, "partly": 2, "met": 3}
    level = bounded_level(claimed, earned)
    assert worth[level] <= worth[earned]
    assert level in (claimed, earned, "not-assessed")
    assert level == earned if claimed == earned else True


def test_full_marks_for_all_are_lowered_and_kept_in_view() -> None:
    earned = {criterion.category: criterion.level for criterion in evaluation().criteria}
    assert set(earned.values()) == {"met", "not-met", "not-assessed"}
    for criterion in bounded_criteria(read(criteria=changed(level="met")), evaluation()):
        assert criterion.level == criterion.checks_level == earned[criterion.category]
        assert criterion.claimed_level == (None if criterion.level == "met" else "met")


def test_a_lower_level_stays() -> None:
    levels = {criterion.level for criterion in bounded_criteria(read(criteria=changed(level="not-met")), evaluation())}
    assert levels == {"not-met", "not-assessed"}


def test_the_order_is_the_report_s() -> None:
    criteria = bounded_criteria(read(criteria=dict(reversed(changed().items()))), evaluation())
    assert [criterion.category for criterion in criteria] == ["masking", "equivalence", "gradients"]


def test_unseen_characters_are_spelled_out_and_markup_stays_text() -> None:
    hostile = read(
        summary=HOSTILE,
        strengths=[HOSTILE],
        criteria=changed(feedback=HOSTILE),
    )
    texts = [sanitize(hostile.summary, MAX_SUMMARY_CHARS), *bounded_list(hostile.strengths)]
    texts += [criterion.feedback for criterion in bounded_criteria(hostile, evaluation())]
    for text in texts:
        assert text.isprintable()
        assert text.startswith(r"\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\x202e\x00\xd800\x0d::error")


def test_long_texts_are_cut_and_say_so() -> None:
    long = read(
        summary="s" * 900_000,
        strengths=["p" * 10_000] * 1000,
        criteria=changed(feedback="f" * 10_000),
    )
    assert sanitize(long.summary, MAX_SUMMARY_CHARS) == "s" * MAX_SUMMARY_CHARS + "… (900000 characters)"
    assert bounded_list(long.strengths) == ("p" * MAX_POINT_CHARS + "… (10000 characters)",) * MAX_POINTS
    assert bounded_criteria(long, evaluation())[0].feedback == "f" * MAX_FEEDBACK_CHARS + "… (10000 characters)"
    assert bounded_list((" ", "a\r\nb")) == ("a\nb",)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object in a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)


@pytest.mark.parametrize("bounded", [True, False])
def test_the_schema_is_one_that_strict_endpoints_take(bounded: bool) -> None:
    schema = answer_schema(evaluation(), bounded=bounded)
    found = list(objects(schema))
    assert len(found) == 2 + len(evaluation().criteria)
    for part in found:
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    assert list(schema["properties"]["criteria"]["properties"]) == ["masking", "equivalence", "gradients"]
    assert ({"maxLength", "maxItems"} <= set(json.dumps(schema).split('"'))) == bounded


def test_an_answer_that_keeps_to_the_schema_is_accepted_and_not_cut() -> None:
    longest = answer(
        summary="s" * SCHEMA_SUMMARY_CHARS,
        strengths=["p" * SCHEMA_POINT_CHARS] * SCHEMA_POINTS,
        criteria=changed(feedback="f" * SCHEMA_FEEDBACK_CHARS),
    )
    jsonschema.validate(longest, answer_schema(evaluation()))
    read_ = read_answer(json.dumps(longest), evaluation())
    texts = [sanitize(read_.summary, MAX_SUMMARY_CHARS), *bounded_list(read_.strengths)]
    texts += [criterion.feedback for criterion in bounded_criteria(read_, evaluation())]
    assert not any("…" in text for text in texts)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer(summary="s" * (SCHEMA_SUMMARY_CHARS + 1)), answer_schema(evaluation()))
