"""What `attn-grader assess` writes beside a report: a model's words on a submission, within what the checks said.

Points and verdict are the report's. The words are plain text of bounded length, control characters spelled out; whoever
shows them escapes them for the place, as everything else that a stranger wrote (`escaping.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from pytest_attn_grader.results.base import FrozenModel
from pytest_attn_grader.results.report import Category, Level

ASSESSMENT_VERSION: Literal["1.0"] = "1.0"
SUFFIX = ".assessment.json"
# Characters; a longer text is cut, and the cut is said, so a little more may be stored.
MAX_FEEDBACK_CHARS, MAX_SUMMARY_CHARS, MAX_POINT_CHARS, MAX_POINTS = 1200, 2000, 400, 8
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AssessedCriterion(FrozenModel):
    """One criterion of the report's evaluation, in words.

    Attributes:
        level: never above `checks_level`; points do not depend on it.
        checks_level: what the checks said.
        claimed_level: what the model said, where that was more than the checks allow; then `level` is the checks'.
    """

    category: Category
    level: Level
    checks_level: Level
    claimed_level: Level | None = None
    feedback: str


class AssessedSource(FrozenModel):
    """The source that the model was shown; it is named by its content, not by its place.

    Attributes:
        sha256: over what was read, as the report's `student.sha256`.
        matches_report: whether it is the very source that was graded.
        characters: of the whole; `characters_shown` is what the bound let through.
    """

    sha256: _Sha256
    matches_report: bool
    files: PositiveInt
    characters: NonNegativeInt
    characters_shown: NonNegativeInt


class TokenUsage(FrozenModel):
    """What the endpoint says that the last request cost; earlier tries are not in it."""

    prompt: NonNegativeInt | None = None
    completion: NonNegativeInt | None = None
    total: NonNegativeInt | None = None


class Assessment(FrozenModel):
    """The whole file.

    Attributes:
        model: the one that was asked for; `model_answered` is the name the endpoint gave, if any.
        prompt_version: changes whenever the instructions to the model do.
        answer_format: how structured output was asked for; `text` where the endpoint knows neither other way.
        report_sha256: of the report's bytes.
        source: None when the model saw none; `source_note` says why.
        tries: requests that were needed.
    """

    assessment_version: Literal["1.0"] = ASSESSMENT_VERSION
    created: AwareDatetime
    grader_version: str
    model: str
    model_answered: str | None = None
    prompt_version: str
    answer_format: Literal["json_schema", "json_object", "text"]
    tries: PositiveInt
    usage: TokenUsage | None = None
    report_sha256: _Sha256
    source: AssessedSource | None = None
    source_note: str = ""
    verdict: Literal["passed", "failed"]
    earned: NonNegativeFloat
    possible: NonNegativeFloat
    summary: str
    criteria: tuple[AssessedCriterion, ...]
    strengths: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()


def assessment_path(report: Path) -> Path:
    """``week3.json`` -> ``week3.assessment.json``, beside it."""
    return report.with_name(report.name.removesuffix(".json") + SUFFIX)


def is_assessment(path: Path) -> bool:
    """Whether a file is an assessment, of whatever version; a report may have such a name by chance."""
    if not path.name.endswith(SUFFIX):
        return False
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "assessment_version" in document


def load_assessment(path: Path) -> Assessment | None:
    """The assessment in a file; None when there is none that this version can read."""
    try:
        return Assessment.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
