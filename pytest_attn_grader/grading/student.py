"""The submission of one run: its worker, its contract and its attention, each asked for when it is needed.

What goes wrong on the way is the student's: it is kept as a result, and whoever asks further gets it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.results.submission import Adaptation, Failure
from pytest_attn_grader.settings import Settings
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.target import Target, find_target

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student
    from pytest_attn_grader.submission.student_attention import StudentAttention


class StudentUnderTest:
    """A submission, from its target to an attention that can be asked.

    Raises:
        UsageError: there is no such submission.
    """

    def __init__(self, settings: Settings, target: Target | None = None) -> None:
        self.settings = settings
        self.clock = PhaseClock()
        self.target: Target = target or find_target(settings.student, settings.invocation_dir)

    @cached_property
    def student_process(self) -> Student:
        """The submission's worker."""
        from pytest_attn_grader.submission.student import Student

        return Student.for_run(self.target, self.settings)

    @cached_property
    def import_failure(self) -> Failure | None:
        with self.clock.phase("import submission"):
            return _failure_of(lambda: self.student_process.description)

    @cached_property
    def contract_failure(self) -> Failure | None:
        return self.import_failure or _failure_of(lambda: self.contract)

    @cached_property
    def contract(self) -> Contract:
        return self.student_process.contract

    @cached_property
    def call_failure(self) -> Failure | None:
        with self.clock.phase("first call"):
            return self.contract_failure or _failure_of(lambda: self.student)

    @cached_property
    def student(self) -> StudentAttention:
        """The submission as an attention function, fitted to four-dimensional tensors.

        Raises:
            SubmissionError: it does not import, has no target or answers no call.
        """
        from pytest_attn_grader.submission.adapt import fit

        return fit(self.student_process, self.contract, seed=self.settings.seed, rotary_base=self.rotary_base)

    @property
    def rotary_base(self) -> float | None:
        """Base of the rotary positions of the graded model; None when it has none."""
        return None

    @property
    def student_seconds(self) -> float:
        """Wall clock that its calls have taken so far, the way to its process included."""
        return self.student_process.remote.spent_seconds

    @property
    def adaptations(self) -> tuple[Adaptation, ...]:
        return self.student.adaptations

    @property
    def library_calls(self) -> Mapping[str, int]:
        """Ready-made attention the submission called so far, and how often."""
        return self.student_process.library_calls

    @property
    def forbidden_calls(self) -> tuple[str, ...]:
        return self.settings.forbid


def _failure_of(question: Callable[[], object]) -> Failure | None:
    try:
        question()
    except SubmissionError as error:
        return Failure.from_error(error)
    return None
