"""What a check says: the numbers it saw, and in three lines why it is not satisfied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from pytest_attn_grader.results.report import EvidenceValue, Failure


class CheckFailed(AssertionError):
    """The submission did not do what the check asked. Shown as three lines, without a traceback of ours."""

    def __init__(self, asked: str, came: str, look_at: str, failure: Failure | None = None) -> None:
        super().__init__(f"asked: {asked}\ncame:  {came}\nlook:  {look_at}")
        self.asked = asked
        self.came = came
        self.look_at = look_at
        self.failure = failure

    @classmethod
    def for_failure(cls, asked: str, failure: Failure) -> CheckFailed:
        """The student's code gave no answer at all."""
        where = f" ({failure.where})" if failure.where else ""
        look_at = failure.remedy or "read the message and the line it names"
        return cls(asked, f"{failure.name}: {failure.message}{where}", look_at, failure)


class NotApplicable(Exception):
    """The check has nothing to ask of this submission; it costs no points and gives none."""


class Evidence:
    """The numbers behind one check; the `attn_evidence` fixture hands out one for every test."""

    def __init__(self) -> None:
        self.numbers: dict[str, EvidenceValue] = {}

    def note(self, **numbers: object) -> None:
        """Keep numbers for the report, whatever the outcome; tensors become lists, what JSON cannot hold its text."""
        self.numbers.update({name: _plain(value) for name, value in numbers.items()})

    def require(self, condition: bool, *, asked: str, came: str, look_at: str) -> None:
        """Fail the check with its three lines unless the condition holds.

        Args:
            asked: what a right attention does, in one sentence.
            came: what this one did, with the number.
            look_at: where in the code to look.
        """
        if not condition:
            raise CheckFailed(asked, came, look_at)

    def require_answer(self, failure: Failure | None, *, asked: str) -> None:
        """Fail the check when the student's code gave no answer."""
        if failure is not None:
            raise CheckFailed.for_failure(asked, failure)

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
