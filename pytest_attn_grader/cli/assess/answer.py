"""What the model is asked to answer, and what is made of it: words and levels, never points.

The answer is a stranger's, and a submission may have talked the model into anything. So it is read strictly, criteria
must be the report's, a level above what the checks earned is lowered to it, texts are cut, and what cannot be seen is
spelled out. Markup stays the plain text it is: whoever shows it escapes it for the place, as everything else.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.results.assessment import (
    MAX_FEEDBACK_CHARS,
    MAX_POINT_CHARS,
    MAX_POINTS,
    MAX_SUMMARY_CHARS,
    AssessedCriterion,
)
from pytest_attn_grader.results.base import FrozenModel
from pytest_attn_grader.results.report import Category, Evaluation, Level

# Levels that can be compared; `not-assessed` is outside: nothing was asked.
_ORDER: tuple[Level, ...] = ("not-met", "partly", "met")


class AnsweredCriterion(FrozenModel):
    category: Category
    level: Level
    feedback: str


# No docstring: it would be sent as the schema's description. Every field is required, and lengths are not part of it:
# endpoints know no more of JSON Schema than that.
class Answer(FrozenModel):
    criteria: tuple[AnsweredCriterion, ...]
    summary: str
    strengths: tuple[str, ...]
    next_steps: tuple[str, ...]


class MalformedAnswerError(Exception):
    """The answer cannot be used; the message, in our own words, says why and is sent with the next try."""


def answer_schema() -> dict[str, Any]:
    """The JSON Schema that the model's answer is held to."""
    return Answer.model_json_schema()


def read_answer(text: str, evaluation: Evaluation) -> Answer:
    """Read the model's text; what stands around the JSON object (a fence, thoughts) is left out.

    Raises:
        MalformedAnswerError: there is no such object in it, or it does not answer what was asked.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise MalformedAnswerError("there is no JSON object in it")
    try:
        answer = Answer.model_validate(json.loads(text[start : end + 1]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Of the place, names that the model has invented are left out.
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _FIELDS)
        raise MalformedAnswerError(
            f"it does not fit the schema, at {place or 'the top'}: {_why(first['type'])}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError("it is not valid JSON") from error
    asked = [criterion.category for criterion in evaluation.criteria]
    answered = [criterion.category for criterion in answer.criteria]
    if sorted(asked) != sorted(answered):
        raise MalformedAnswerError(f"criteria must be these, each once: {', '.join(asked)}")
    if not answer.summary.strip() or not all(criterion.feedback.strip() for criterion in answer.criteria):
        raise MalformedAnswerError("summary or a feedback is empty")
    return answer


_FIELDS = {*Answer.model_fields, *AnsweredCriterion.model_fields}


def _why(kind: str) -> str:
    return {"missing": "it is missing", "extra_forbidden": "there is a field that was not asked for"}.get(
        kind, "it has another type or value than the schema's"
    )


def bounded_criteria(answer: Answer, evaluation: Evaluation) -> tuple[AssessedCriterion, ...]:
    """The model's words by criterion, in the report's order, with levels that the checks allow."""
    answered = {criterion.category: criterion for criterion in answer.criteria}
    return tuple(
        AssessedCriterion(
            category=criterion.category,
            level=(level := bounded_level(answered[criterion.category].level, criterion.level)),
            checks_level=criterion.level,
            claimed_level=None if level == (claimed := answered[criterion.category].level) else claimed,
            feedback=tidy(answered[criterion.category].feedback, MAX_FEEDBACK_CHARS),
        )
        for criterion in evaluation.criteria
    )


def bounded_level(claimed: Level, earned: Level) -> Level:
    """The model's level where the checks allow it: at most theirs, and none where nothing could be asked."""
    if "not-assessed" in (claimed, earned):
        return "not-assessed"
    return min(claimed, earned, key=_ORDER.index)


def bounded_summary(answer: Answer) -> str:
    return tidy(answer.summary, MAX_SUMMARY_CHARS)


def bounded_points(points: tuple[str, ...]) -> tuple[str, ...]:
    """The first few of a list, each of bounded length, empty ones left out."""
    return tuple(tidy(point, MAX_POINT_CHARS) for point in points if point.strip())[:MAX_POINTS]


def tidy(text: str, most: int) -> str:
    """Text of a stranger's as it is stored: of bounded length, and everything in it can be seen."""
    lines = text.strip().replace("\r\n", "\n")
    cut = "" if len(lines) <= most else f"… ({len(lines)} characters)"
    return escape_unprintable(lines[:most]) + cut
