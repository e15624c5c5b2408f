"""Measure how long the student's attention takes beside the reference, at several lengths of text.

Both compute on one thread of the CPU, the student in its worker and the reference here. The overhead of a round trip to
the worker is measured with an echo request of the same size, and subtracted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, at_length, build_probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.models.devices import one_thread
from pytest_attn_grader.results.comparison import LengthTiming, Speed, Timing

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student_attention import StudentAttention

LENGTHS = (6, 64, 256)
DEFAULT_TOKENS = 64
MAX_REPEATS = 16
# What all measurements together may add to a run.
TOTAL_BUDGET_SECONDS = 1.0
# A call that takes longer is measured once.
SLOW_SECONDS = 0.15
# Times that seem too long are taken again so often: another process may have had the processor.
MAX_CONFIRMATIONS = 3
# Where the upper quartile of the reference's own times is so many times the lower one, no factor can be measured.
NOISY_SPREAD = 3.0
# Scores are a square of the length: a longer text takes at least so much longer.
MIN_GROWTH = 2


class Plan(NamedTuple):
    """The number of measurements of one length: at least `min_repeats`, and as many as fit into `seconds`."""

    seconds: float
    min_repeats: int


# A median of so many is steady to a few percent.
STEADY = Plan(0.05, 4)
# In a class: the lengths beside the check's own are for information only.
BRIEF = Plan(0.01, 2)


class Samples(NamedTuple):
    """Measurements of one length, in seconds, each in the order in which they were taken.

    Attributes:
        trips: whole calls of the student.
        inside: what the worker reports of each call; a submission could make it smaller, so it is only a lower bound.
        echoes: round trips to the worker with the same bytes and no computation.
        reference: calls of the reference.
    """

    tokens: int
    trips: tuple[float, ...]
    inside: tuple[float, ...]
    echoes: tuple[float, ...]
    reference: tuple[float, ...]

    def __add__(self, other: object) -> Samples:
        if not isinstance(other, Samples):
            return NotImplemented
        return Samples(self.tokens, *(first + later for first, later in zip(self[1:], other[1:], strict=True)))

    def summarize(self) -> LengthTiming:
        """Compute the medians that reports show."""
        # The median overhead is subtracted, not each trip's own. On a busy machine it may exceed a whole trip: then the
        # worker's own figure is nearer.
        overhead = statistics.median(self.echoes)
        return LengthTiming(
            tokens=self.tokens,
            student=summarize(self._without(overhead)),
            reference=summarize(self.reference),
            transport=overhead,
        )

    @property
    def min_student_seconds(self) -> float:
        """The fastest call of the student: other load on the machine can only make a call slower."""
        return min(self._without(min(self.echoes)))

    @property
    def min_slowdown(self) -> float:
        """The fastest call of the student, divided by the fastest of the reference."""
        return self.min_student_seconds / min(self.reference)

    def _without(self, overhead: float) -> list[float]:
        return [max(trip - overhead, inside) for trip, inside in zip(self.trips, self.inside, strict=True)]


class SpeedBenchmark:
    """Times one submission at several lengths; each length is measured once.

    Args:
        longest_tokens: the longest text of the model.
        seconds: what is left of the run's budget.
        clock: of the run; the time spent here goes to its phase `speed`.
        brief: measure lengths other than `DEFAULT_TOKENS` with fewer repeats.
    """

    def __init__(
        self,
        student: StudentAttention,
        longest_tokens: int,
        *,
        seed: int,
        seconds: float = TOTAL_BUDGET_SECONDS,
        clock: PhaseClock | None = None,
        brief: bool = False,
    ) -> None:
        self._attention = student
        self._longest_tokens = longest_tokens
        self._seed = seed
        self._seconds = min(seconds, TOTAL_BUDGET_SECONDS)
        self._clock = clock or PhaseClock()
        self._plan = BRIEF if brief else STEADY
        self._measured: dict[int, Samples] = {}

    def forward_at(self, tokens: int = DEFAULT_TOKENS, plan: Plan = STEADY) -> LengthTiming:
        """Time the forward pass at one length, or at the model's longest.

        Raises:
            SubmissionError: the student gave no answer.
        """
        return self._sample_at(tokens, plan).summarize()

    def confirm_at(self, *, limit: float) -> Samples:
        """Time the forward pass again while even its fastest call is more than `limit` times slower.

        Raises:
            SubmissionError: the student gave no answer.
        """
        samples = self._sample_at(DEFAULT_TOKENS, STEADY)
        for _ in range(MAX_CONFIRMATIONS):
            if samples.min_slowdown <= limit:
                break
            with self._clock.phase("speed"):
                samples += self._time(self._probe(samples.tokens), STEADY)
        self._measured[samples.tokens] = samples
        return samples

    def _sample_at(self, tokens: int, plan: Plan) -> Samples:
        tokens = min(tokens, self._longest_tokens)
        if tokens not in self._measured:
            with self._clock.phase("speed"):
                self._measured[tokens] = self._time(self._probe(tokens), plan)
        return self._measured[tokens]

    @staticmethod
    def why_unsteady(timing: LengthTiming) -> str | None:
        """Say why no factor can be read from a timing; None when one can."""
        low, high = float(timing.reference.low), float(timing.reference.high)
        if high > NOISY_SPREAD * low:
            return f"the machine is busy: the reference alone took from {low * 1e3:.2f} to {high * 1e3:.2f} ms"
        if float(timing.transport) > float(timing.student.median):
            return "the machine is busy: the way to the sandbox took longer than the attention"
        return None

    def measure(self) -> Speed:
        """Time every length, as long as the submission is not slow and there is time."""
        with self._clock.phase("speed"):
            lengths, stopped = self._measure_lengths(time.perf_counter() + self._seconds)
        return Speed(shape=self._probe(1).shape_text.replace(", 1 tokens", ""), lengths=lengths, stopped=stopped)

    def _measure_lengths(self, deadline: float) -> tuple[tuple[LengthTiming, ...], str]:
        """Time the lengths in order; returns those that were timed, and why the next one was not."""
        lengths: list[LengthTiming] = []
        for tokens in sorted({min(length, self._longest_tokens) for length in (*LENGTHS, self._longest_tokens)}):
            try:
                stopped = self._reason_to_stop(tokens, lengths, deadline)
                if stopped:
                    return tuple(lengths), stopped
                lengths.append(self.forward_at(tokens, STEADY if tokens == DEFAULT_TOKENS else self._plan))
            except SubmissionError as error:
                return tuple(lengths), f"no answer at {tokens} tokens ({error.message})"
        return tuple(lengths), ""

    def why_unsupported(self, tokens: int = DEFAULT_TOKENS) -> str | None:
        """Say why a text of this length is none to time the submission with; None when it is one."""
        return self._attention.unsupported_reason(self._probe(min(tokens, self._longest_tokens)))

    def _reason_to_stop(self, tokens: int, measured: Sequence[LengthTiming], deadline: float) -> str:
        """Why this length is not timed; empty when it is."""
        impossible = self.why_unsupported(tokens)
        if impossible is not None:
            return f"{tokens} tokens were not tried: {impossible}"
        if tokens in self._measured:
            return ""
        left = deadline - time.perf_counter()
        if left <= 0:
            return f"{tokens} tokens were not tried: the time for it was used up"
        if measured:
            last = measured[-1]
            seconds = float(last.student.median)
            expected = seconds * (tokens / last.tokens) ** MIN_GROWTH
            if expected * STEADY.min_repeats > left:
                return f"{tokens} tokens were not tried: one call took {seconds:.2g} s at {last.tokens}"
        return ""

    @torch.no_grad()
    def _time(self, probe: Probe, plan: Plan) -> Samples:
        """Time student and reference in turns, so that other load meets both; the first round is a warm-up."""
        inputs = (probe.query, probe.key, probe.value, probe.keep_mask)
        student: list[tuple[float, float]] = []  # of the whole round trip, and what the worker reports
        reference: list[float] = []
        transport: list[float] = []
        started = time.perf_counter()
        with one_thread():  # as the worker does
            while len(reference) < MAX_REPEATS:
                with self._attention.student.remote.record_round_trips() as trips:
                    self._attention(*inputs)
                transport.append(sum(self._attention.student.remote.echo(trip) for trip in trips))
                student.append((sum(trip.seconds for trip in trips), sum(trip.inside for trip in trips)))
                reference.append(_seconds(lambda: reference_attention(*inputs)))
                enough = 1 if student[0][0] > SLOW_SECONDS else plan.min_repeats
                if len(reference) >= enough and time.perf_counter() - started > plan.seconds:
                    break
        warm = slice(1 if len(reference) > 1 else 0, None)
        return Samples(
            tokens=probe.query.shape[-2],
            trips=tuple(whole for whole, _ in student[warm]),
            inside=tuple(inside for _, inside in student[warm]),
            echoes=tuple(transport[warm]),
            reference=tuple(reference[warm]),
        )

    def _probe(self, tokens: int) -> Probe:
        takes_hidden_states = self._attention.contract.kind != "function"
        spec = at_length(SPEC_BY_NAME["single"], tokens, for_hidden_states=takes_hidden_states)
        return build_probe(spec, seed=self._seed)


def summarize(seconds: Sequence[float]) -> Timing:
    """Compute median and quartiles of some measurements."""
    if len(seconds) < 2:
        return Timing(median=seconds[0], low=seconds[0], high=seconds[0], repeats=1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median=median, low=low, high=high, repeats=len(seconds))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
