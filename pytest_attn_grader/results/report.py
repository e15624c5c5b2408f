"""The report of a run as frozen data without tensors, ready to be written as JSON.

`GradeReport` is the published format (schema in ``reports/schema``); every other output is a view of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytest_attn_grader.results.base import EvidenceValue, FrozenModel, Number
from pytest_attn_grader.results.comparison import Comparison, Speed
from pytest_attn_grader.results.submission import Failure, StudentInfo

SCHEMA_VERSION: Literal["2.0"] = "2.0"

Category = Literal[
    "contract",
    "shape",
    "weights",
    "masking",
    "equivalence",
    "gradients",
    "purity",
    "similarity",
    "behaviour",
    "coherence",
    "budget",
    "custom",
]
CATEGORIES: tuple[Category, ...] = Category.__args__  # type: ignore[attr-defined]

Outcome = Literal["passed", "failed", "skipped", "not-applicable", "error"]
Verdict = Literal["passed", "failed", "ungradable"]


class CheckResult(FrozenModel):
    """One check: what was expected, what the submission did, what it is worth.

    A failed check carries its three lines (`expected`, `actual`, `hint`); every check carries its numbers (`evidence`).
    """

    id: str
    title: str
    category: Category
    outcome: Outcome
    weight: float = 1.0
    points_earned: float = 0.0
    points_possible: float = 0.0
    evidence: dict[str, EvidenceValue] = Field(default_factory=dict)
    expected: str = ""
    actual: str = ""
    hint: str = ""
    message: str = ""
    failure: Failure | None = None
    needs: tuple[str, ...] = ()
    seconds: float = 0.0
    nodeid: str = ""


class CategoryScore(FrozenModel):
    """Points and checks of one category."""

    earned: float
    possible: float
    checks_passed: int
    checks_total: int


class Score(FrozenModel):
    """Points of the run, and of each category."""

    earned: float
    possible: float
    by_category: dict[str, CategoryScore]


class ModelInfo(FrozenModel):
    """The model that was requested, the one that was used, and its size; `fallback_reason` says why they differ."""

    requested: str
    used: str | None = None
    source: str | None = None
    revision: str | None = None
    sha256: str | None = None
    fallback_reason: str | None = None
    architecture: str | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    head_dim: int | None = None
    hidden_size: int | None = None
    layer_idx: int | None = None
    all_layers: bool = False
    device: str | None = None


class PromptInfo(FrozenModel):
    """The prompt, its token ids, and each token as text."""

    text: str
    ids: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()


class Diagnosis(FrozenModel):
    """The named mistake, or the statement that no known mistake explains the results.

    `hint` says how to mend the mistake; the `hint` of a check says where to look. `unexplained` are the differences
    that the named mistakes do not explain; it is empty when they explain everything.
    """

    slugs: tuple[str, ...]
    titles: tuple[str, ...]
    message: str
    hint: str = ""
    distance: Number | None = None
    look_alikes: tuple[str, ...] = ()
    unexplained: str = ""


class Tolerance(FrozenModel):
    """The tolerance of one probe: `factor` times the spread of correct implementations, by output."""

    probe: str
    dtype: str
    factor: float
    spread: dict[str, Number]
    tolerance: dict[str, Number]


class Phase(FrozenModel):
    """Seconds that one part of the run took."""

    name: str
    seconds: float


class Sandbox(FrozenModel):
    """Sandbox of the submission.

    Attributes:
        requested: the value of `--attn-sandbox`.
        required: the weakest tier that was acceptable.
        tier: the tier that was used: bwrap, process or none.
        reason: why this tier was used.
        limits: seconds and bytes that the submission may use; null for no limit.
        unenforced: limits that this system cannot enforce.
    """

    requested: str
    required: str | None = None
    tier: str | None = None
    reason: str = ""
    workers_started: int = 0
    limits: dict[str, float | int | None] = Field(default_factory=dict)
    unenforced: tuple[str, ...] = ()


Level = Literal["met", "partly", "not-met", "not-assessed"]


class Criterion(FrozenModel):
    """One category for an assessor: its question, the level reached, and the evidence.

    `evidence` has only the grader's words and numbers, never text of the submission or its author's name.
    """

    category: Category
    asks: str
    level: Level
    descriptor: str
    earned: float
    possible: float
    evidence: tuple[str, ...] = ()


class Evaluation(FrozenModel):
    """The report for an assessor, a person or a language model; points come from the checks alone.

    `levels` describes every level of the scale. `mistakes` are slugs of the catalogue (`attn-grader explain`), and
    `mistake_titles` are their titles.
    """

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    levels: dict[Level, str] = Field(default_factory=dict)
    mistakes: tuple[str, ...] = ()
    mistake_titles: tuple[str, ...] = ()


class GradeReport(FrozenModel):
    """The `attn_grader` object of the JSON report."""

    schema_version: Literal["2.0"] = SCHEMA_VERSION
    verdict: Verdict
    reason: str = ""
    exit_code: int | None = None
    score: Score
    student: StudentInfo
    model: ModelInfo
    prompt: PromptInfo
    checks: tuple[CheckResult, ...] = ()
    comparison: Comparison | None = None
    speed: Speed | None = None
    diagnosis: Diagnosis | None = None
    evaluation: Evaluation | None = None
    settings: dict[str, EvidenceValue] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    tolerances: tuple[Tolerance, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    timing: tuple[Phase, ...] = ()
    peak_memory_bytes: int | None = None
    sandbox: Sandbox
