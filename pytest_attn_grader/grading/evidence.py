"""Evidence of a check: the numbers it saw. A failed check adds three lines that say why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

from pytest_attn_grader.results.base import EvidenceValue
from pytest_attn_grader.results.submission import Failure


class CheckFailed(AssertionError):
    """A failed check: what was expected, what the submission did and where to look. Shown without a traceback."""

    def __init__(self, expected: str, actual: str, hint: str, failure: Failure | None = None) -> None:
        super().__init__(f"expected: {expected}\nactual:   {actual}\nhint:     {hint}")
        self.expected = expected
        self.actual = actual
        self.hint = hint
        self.failure = failure

    @classmethod
    def for_failure(cls, expected: str, failure: Failure) -> CheckFailed:
        """The student's code gave no answer at all."""
        where = f" ({failure.where})" if failure.where else ""
        hint = failure.remedy or "read the message and the line it names"
        return cls(expected, f"{failure.message}{where}", hint, failure)


class NotApplicable(Exception):
    """The check has nothing to ask of this submission; it costs no points and gives none."""


def format_number(value: float, spec: str = ".3g") -> str:
    """Format a number for a message; a dash with the reason stands for one that does not exist."""
    return format(value, spec) if math.isfinite(value) else "– (NaN or infinite)"  # noqa: RUF001  # as in print


class Evidence:
    """The numbers behind one check; the `attn_evidence` fixture makes one for every test."""

    def __init__(self) -> None:
        self.numbers: dict[str, EvidenceValue] = {}

    def record(self, **numbers: object) -> None:
        """Keep numbers for the report, whatever the outcome; tensors become lists, what JSON cannot hold its text."""
        self.numbers.update({name: _plain(value) for name, value in numbers.items()})

    def check(self, condition: bool, *, expected: str, actual: str, hint: str) -> None:
        """Fail the check with its three lines unless the condition holds.

        Args:
            expected: what a right attention does, in one sentence.
            actual: what this one did, with the number.
            hint: where in the code to look.
        """
        if not condition:
            raise CheckFailed(expected, actual, hint)

    def require_answer(self, failure: Failure | None, *, expected: str) -> None:
        """Fail the check when the student's code gave no answer."""
        if failure is not None:
            raise CheckFailed.for_failure(expected, failure)

    def not_applicable(self, why: str) -> NoReturn:
        """Leave the check out: it cannot be asked of this submission."""
        raise NotApplicable(why)


def _plain(value: object) -> EvidenceValue:
    """A value as the report can hold it: a tensor noted by an instructor must not break the run."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    to_list = getattr(value, "tolist", None)
    return _text(value) if to_list is None else _plain(to_list())


def _text(value: object) -> str:
    # UTF-8 has no lone surrogates, and JSON that holds one cannot be written as such.
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
