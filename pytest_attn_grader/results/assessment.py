"""The assessment that `attn-grader assess` writes next to a report: feedback by a language model.

Points and verdict are the report's. The texts are plain, of bounded length, with control characters spelled out. A
program that shows them must still escape them for the place (`escaping.py`), as it would any text of a stranger.
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
# A longer text is cut. A note about the cut is added, so a few characters more may be stored.
MAX_FEEDBACK_CHARS, MAX_SUMMARY_CHARS, MAX_POINT_CHARS, MAX_POINTS = 1200, 2000, 400, 8
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AssessedCriterion(FrozenModel):
    """Feedback on one criterion of the report's evaluation.

    Attributes:
        level: never above `checks_level`; points do not depend on it.
        checks_level: the level that the checks give.
        claimed_level: the level that the model claimed, when it was above `checks_level`; `level` is then lowered.
    """

    category: Category
    level: Level
    checks_level: Level
    claimed_level: Level | None = None
    feedback: str


class AssessedSource(FrozenModel):
    """The source code that the model was shown, identified by its content and not by its path.

    Attributes:
        sha256: digest of what was read, computed as the report's `student.sha256`.
        matches_report: whether this is the source that was graded.
        characters: size of the whole source; `characters_shown` is the size of the part that was sent.
    """

    sha256: _Sha256
    matches_report: bool
    files: PositiveInt
    characters: NonNegativeInt
    characters_shown: NonNegativeInt


class TokenUsage(FrozenModel):
    """Tokens that the endpoint counted for the last request; earlier tries are not included."""

    prompt: NonNegativeInt | None = None
    completion: NonNegativeInt | None = None
    total: NonNegativeInt | None = None


class Assessment(FrozenModel):
    """The whole assessment file.

    Attributes:
        model: the model that was requested; `model_answered` is the name that the endpoint gave, if any.
        prompt_version: changes whenever the instructions to the model change.
        answer_format: how structured output was requested; `text` where the endpoint supports no structured output.
        report_sha256: digest of the report's bytes.
        source: None when the model saw no source code; `source_note` says why.
        tries: number of requests.
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
    """Return the path next to a report: ``week3.json`` -> ``week3.assessment.json``."""
    return report.with_name(report.name.removesuffix(".json") + SUFFIX)


def is_assessment(path: Path) -> bool:
    """Whether a file is an assessment of any version; a report can have such a name by chance."""
    if not path.name.endswith(SUFFIX):
        return False
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "assessment_version" in document


def load_assessment(path: Path) -> Assessment | None:
    """Read an assessment; return None when the file has none that this version can read."""
    try:
        return Assessment.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
