"""Result models of the submission: its kind, its adaptations, and why it gave no answer."""

from __future__ import annotations

from pydantic import Field

from pytest_attn_grader.errors import FailureName, SubmissionError
from pytest_attn_grader.results.base import EvidenceValue, FrozenModel, Number


class Failure(FrozenModel):
    """Why the student's code gave no answer."""

    name: FailureName
    message: str
    remedy: str = ""
    where: str | None = None
    traceback: str = ""

    @classmethod
    def from_error(cls, error: SubmissionError) -> Failure:
        return cls(
            name=error.name, message=error.message, remedy=error.remedy, where=error.where, traceback=error.traceback
        )


class Adaptation(FrozenModel):
    """Something the grader did so that the submission fits into the model; it costs no points."""

    name: str
    why: str


class Construction(FrozenModel):
    """One construction of a class: the arguments passed, and the attributes read from a config object."""

    arguments: dict[str, EvidenceValue] = Field(default_factory=dict)
    config_read: dict[str, EvidenceValue] = Field(default_factory=dict)


class WidthAdapter(FrozenModel):
    """Adapter of a module with a fixed width.

    Texts of up to `exact_tokens` tokens fit exactly. `residual` is the largest share of the hidden states' norm that
    was lost, measured on a text of `residual_tokens` tokens.
    """

    width: int
    exact_tokens: int
    residual: Number = 0.0
    residual_tokens: int = 0


class StudentInfo(FrozenModel):
    """The submission. `restriction` says what the reference does without too, so that the comparison is fair."""

    target: str
    name: str | None = None
    kind: str | None = None
    signature: str | None = None
    where: str | None = None
    sha256: str | None = None
    files: tuple[str, ...] = ()
    mask_convention: str | None = None
    rank: int | None = None
    returns_weights: bool | None = None
    adaptations: tuple[Adaptation, ...] = ()
    constructed: tuple[Construction, ...] = ()
    restriction: str | None = None
    width_adapter: WidthAdapter | None = None
    library_calls: dict[str, int] = Field(default_factory=dict)
    transformers_imported: bool = False
    captured_output: str = ""
