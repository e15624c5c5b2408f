"""The submission of one run: its worker, its contract and its attention, each made when it is first needed.

Faults of the student's code are cached: every later access reports the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_attn_grader._utils.lazy import Lazy
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.target import Target, find_target

if TYPE_CHECKING:
    from pytest_attn_grader.models.architectures import LayerSteps
    from pytest_attn_grader.submission.student import Student
    from pytest_attn_grader.submission.student_attention import StudentAttention


class StudentUnderTest:
    """A submission, from its target to an attention function.

    Args:
        layer_steps: returns the steps of the graded layer that a module takes itself.
        target: the submission, when it is a live object; otherwise the settings name it.
        process: its worker, when there is one already.

    Raises:
        UsageError: there is no such submission.
    """

    def __init__(
        self,
        settings: Settings,
        clock: PhaseClock,
        layer_steps: Callable[[], LayerSteps],
        *,
        target: Target | None = None,
        process: Student | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._layer_steps = layer_steps
        self.target: Target = target or find_target(settings.student, settings.invocation_dir)
        self.lazy_process: Lazy[Student] = Lazy(self._make_process, process)
        self.lazy_attention: Lazy[StudentAttention] = Lazy(self._fit)

    def _make_process(self) -> Student:
        from pytest_attn_grader.submission.student import Student

        return Student.for_run(self.target, self._settings)

    def _fit(self) -> StudentAttention:
        from pytest_attn_grader.submission.adapt import fit

        return fit(self.process, self.contract, seed=self._settings.seed, steps=self._layer_steps())

    @property
    def process(self) -> Student:
        """The submission's worker."""
        return self.lazy_process.get()

    @property
    def contract(self) -> Contract:
        """The kind of the submission and how its arguments are filled; SubmissionError when it has none."""
        return self.process.contract

    @property
    def attention(self) -> StudentAttention:
        """The submission as an attention function of four-dimensional tensors.

        Raises:
            SubmissionError: it does not import, has no target or answers no call.
        """
        return self.lazy_attention.get()

    @cached_property
    def import_failure(self) -> Failure | None:
        """Why the submission cannot be imported; None when it can."""
        with self._clock.phase("import submission"):
            return _failure_of(lambda: self.process.description)

    @cached_property
    def contract_failure(self) -> Failure | None:
        """Why the submission has no contract; None when it has one.

        Raises:
            UsageError: there are several candidates, and the command does not name one.
        """
        return self.import_failure or _failure_of(lambda: self.contract)

    @cached_property
    def call_failure(self) -> Failure | None:
        """Why the submission answers no call; None when it does."""
        with self._clock.phase("first call"):
            return self.contract_failure or _failure_of(lambda: self.attention)

    @cached_property
    def maskless_failure(self) -> Failure | None:
        """The failure of a call without its optional mask, where that returns None."""
        from pytest_attn_grader.grading.call_options import failure_without_mask

        with self._clock.phase("first call"):
            return failure_without_mask(self.attention, self._settings.seed)

    @property
    def spent_seconds(self) -> float:
        """Wall clock that its calls have taken so far, round trips included."""
        return self.process.remote.spent_seconds

    def prepare_diagnosis(self) -> None:
        """Start the process that a diagnosis will ask, and return at once; called after every failed check."""
        if self.lazy_attention.peek() is not None:
            self.process.prepare_restart()

    def close(self) -> None:
        """End the worker; safe to call twice."""
        process = self.lazy_process.peek()
        if process is not None:
            process.close()


def _failure_of(question: Callable[[], object]) -> Failure | None:
    try:
        question()
    except SubmissionError as error:
        return Failure.from_error(error)
    return None
