from __future__ import annotations

import itertools
import json
from typing import Any, get_args

import pytest

from pytest_attn_grader.cli.assess.answer import (
    Answer,
    MalformedAnswerError,
    answer_schema,
    bounded_criteria,
    bounded_level,
    bounded_list,
    bounded_summary,
    read_answer,
)
from pytest_attn_grader.results.assessment import MAX_FEEDBACK_CHARS, MAX_POINT_CHARS, MAX_POINTS, MAX_SUMMARY_CHARS
from pytest_attn_grader.results.report import Level
from tests.cli.assess.conftest import answer, evaluation

HOSTILE = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202e\x00\ud800\r::error::x\U000e0041"
LEVELS: tuple[Level, ...] = get_args(Level)


def read(**more: Any) -> Answer:
    return read_answer(json.dumps(answer(**more)), evaluation())


def with_level(level: Level) -> list[dict[str, str]]:
    return [criterion | {"level": level} for criterion in answer()["criteria"]]


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
        (answer(criteria=[]), "criteria must be these, each once: masking, equivalence, gradients"),
        (
            answer(criteria=answer()["criteria"][:2]),
            "criteria must be these, each once: masking, equivalence, gradients",
        ),
        (
            answer(criteria=answer()["criteria"] * 2),
            "criteria must be these, each once: masking, equivalence, gradients",
        ),
        (
            answer(criteria=[{"category": "all", "level": "met", "feedback": "x"}]),
            "at criteria.0.category: it has another",
        ),
        (answer(criteria=[answer()["criteria"][0] | {"level": "superb"}]), "at criteria.0.level: it has another"),
        (answer(criteria=[answer()["criteria"][0] | {"points": 9}]), "at criteria.0: there is a field that was not"),
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
    for criterion in bounded_criteria(read(criteria=with_level("met")), evaluation()):
        assert criterion.level == criterion.checks_level == earned[criterion.category]
        assert criterion.claimed_level == (None if criterion.level == "met" else "met")


def test_a_lower_level_stays() -> None:
    levels = {criterion.level for criterion in bounded_criteria(read(criteria=with_level("not-met")), evaluation())}
    assert levels == {"not-met", "not-assessed"}


def test_the_order_is_the_report_s() -> None:
    criteria = bounded_criteria(read(criteria=answer()["criteria"][::-1]), evaluation())
    assert [criterion.category for criterion in criteria] == ["masking", "equivalence", "gradients"]


def test_unseen_characters_are_spelled_out_and_markup_stays_text() -> None:
    hostile = read(
        summary=HOSTILE,
        strengths=[HOSTILE],
        criteria=[criterion | {"feedback": HOSTILE} for criterion in answer()["criteria"]],
    )
    texts = [bounded_summary(hostile), *bounded_list(hostile.strengths)]
    texts += [criterion.feedback for criterion in bounded_criteria(hostile, evaluation())]
    for text in texts:
        assert text.isprintable()
        assert text.startswith(r"\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\x202e\x00\xd800\x0d::error")


def test_long_texts_are_cut_and_say_so() -> None:
    long = read(
        summary="s" * 900_000,
        strengths=["p" * 10_000] * 1000,
        criteria=[criterion | {"feedback": "f" * 10_000} for criterion in answer()["criteria"]],
    )
    assert bounded_summary(long) == "s" * MAX_SUMMARY_CHARS + "… (900000 characters)"
    assert bounded_list(long.strengths) == ("p" * MAX_POINT_CHARS + "… (10000 characters)",) * MAX_POINTS
    assert bounded_criteria(long, evaluation())[0].feedback == "f" * MAX_FEEDBACK_CHARS + "… (10000 characters)"
    assert bounded_list((" ", "a\r\nb")) == ("a\nb",)


def test_the_schema_is_one_that_strict_endpoints_take() -> None:
    schema = answer_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
        assert "description" not in part
    assert not {"maxLength", "minLength", "maxItems", "pattern"} & set(json.dumps(schema).split('"'))
