"""How long the student's attention takes beside the reference, and how that grows with the length of the text.

Both compute on one thread of the CPU, the student in its worker and the reference here. Of each of the student's trips
to the worker the cost of the way is taken off: the same bytes are sent once more, and nothing is computed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, at_length, build_probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.results.comparison import LengthTiming, Speed, Timing

if TYPE_CHECKING:
    from pytest_attn_grader.sandbox.round_trips import RoundTrip
    from pytest_attn_grader.submission.student_attention import StudentAttention

LENGTHS = (6, 64, 256)
DEFAULT_TOKENS = 64
# A median of so many is steady to a few percent; most of the time goes into the trips, not into attention.
MOST_REPEATS = 16
MIN_REPEATS = 4
# What all of it may add to a run, and one pass at one length of that.
TOTAL_BUDGET_SECONDS = 1.0
PASS_SECONDS = 0.05
# In a class, where nobody waits for one report and the figures beside the check's own are for information only.
BRIEF_PASS_SECONDS = 0.01
BRIEF_REPEATS = 2
# A pass that takes longer is slow enough to be told from one try, and its graph may not fit into memory.
SLOW_SECONDS = 0.15
# Below this, what a call costs besides its arithmetic hides how the arithmetic grows.
GROWTH_TOKENS = 64
# Scores are a square of the length: the least by which a longer text takes longer.
LEAST_GROWTH = 2


class _Pass(NamedTuple):
    student: Timing
    reference: Timing
    transport: float


class SpeedBenchmark:
    """Times one submission; what was measured is kept.

    Args:
        longest_tokens: how long a text can be.
        seconds: what the run has left for it.
        clock: of the run; the time spent here goes to its phase `speed`.
        brief: measure what is for information only with fewer repeats, and backward at `DEFAULT_TOKENS` alone;
            `forward_at` is as steady as ever.
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
        self._brief = brief
        self._pass_seconds, self._least_repeats = PASS_SECONDS, MIN_REPEATS
        self._forward: dict[int, _Pass] = {}

    def forward_at(self, tokens: int = DEFAULT_TOKENS) -> LengthTiming:
        """Time the forward pass alone at one length, or at the longest there is.

        Raises:
            SubmissionError: the student gave no answer.
        """
        tokens = min(tokens, self._longest_tokens)
        with self._clock.phase("speed"):
            forward = self._forward_pass(tokens)
        return LengthTiming(
            tokens=tokens,
            student_forward=forward.student,
            reference_forward=forward.reference,
            transport_forward=forward.transport,
        )

    def measure(self) -> Speed:
        """Time every length, forward and backward, as long as it is not slow and there is time."""
        if self._brief:
            self._pass_seconds, self._least_repeats = BRIEF_PASS_SECONDS, BRIEF_REPEATS
        with self._clock.phase("speed"):
            lengths, stopped = self._measured(time.perf_counter() + self._seconds)
        return Speed(
            shape=self._probe(1).shape_text.replace(", 1 tokens", ""),
            lengths=lengths,
            student_growth=growth([(each.tokens, float(each.student_forward.median)) for each in lengths]),
            reference_growth=growth([(each.tokens, float(each.reference_forward.median)) for each in lengths]),
            stopped=stopped,
        )

    def _measured(self, deadline: float) -> tuple[tuple[LengthTiming, ...], str]:
        """The lengths as far as they were tried, and why the next one was not."""
        lengths: list[LengthTiming] = []
        for tokens in sorted({min(length, self._longest_tokens) for length in (*LENGTHS, self._longest_tokens)}):
            stopped = self._why_stop(tokens, lengths, deadline)
            if stopped:
                return tuple(lengths), stopped
            try:
                lengths.append(self._at(tokens, deadline))
            except SubmissionError as error:
                return tuple(lengths), f"no answer at {tokens} tokens ({error.name}: {error.message})"
        return tuple(lengths), ""

    def _at(self, tokens: int, deadline: float) -> LengthTiming:
        measured = self.forward_at(tokens)
        if float(measured.student_forward.median) > SLOW_SECONDS or time.perf_counter() > deadline:
            return measured
        if self._brief and tokens != DEFAULT_TOKENS:
            return measured
        try:
            backward = self._backward_pass(tokens)
        except SubmissionError:
            # What is wrong with the gradients has a check of its own.
            return measured
        return measured.model_copy(
            update={
                "student_backward": backward.student,
                "reference_backward": backward.reference,
                "transport_backward": backward.transport,
            }
        )

    def _why_stop(self, tokens: int, measured: Sequence[LengthTiming], deadline: float) -> str:
        """Why this length is not tried; empty when it is."""
        impossible = self._attention.unsupported_reason(self._probe(tokens))
        if impossible is not None:
            return f"{tokens} tokens were not tried: {impossible}"
        if tokens in self._forward:
            return ""
        left = deadline - time.perf_counter()
        if left <= 0:
            return f"{tokens} tokens were not tried: the time for it was used up"
        if measured:
            last = measured[-1]
            seconds = float(last.student_forward.median)
            expected = seconds * (tokens / last.tokens) ** LEAST_GROWTH
            if expected * MIN_REPEATS > left:
                return f"{tokens} tokens were not tried: one call took {seconds:.2g} s at {last.tokens}"
        return ""

    def _forward_pass(self, tokens: int) -> _Pass:
        if tokens not in self._forward:
            probe = self._probe(tokens)
            inputs = (probe.query, probe.key, probe.value, probe.keep_mask)

            def student() -> list[RoundTrip]:
                with self._attention.student.remote.record_round_trips() as trips, torch.no_grad():
                    self._attention(*inputs)
                return trips

            def reference() -> float:
                with torch.no_grad():
                    return _seconds(lambda: reference_attention(*inputs))

            self._forward[tokens] = self._repeat(student, reference)
        return self._forward[tokens]

    def _backward_pass(self, tokens: int) -> _Pass:
        probe = self._probe(tokens)
        query, key, value = (tensor.clone().requires_grad_() for tensor in probe.inputs.values())
        leaves = (query, key, value)
        upstream = torch.ones_like(probe.query)

        def student() -> list[RoundTrip]:
            result = self._attention(*leaves, probe.keep_mask)
            output = result[0] if isinstance(result, tuple) else result
            with self._attention.student.remote.record_round_trips() as trips:
                if output.requires_grad:
                    torch.autograd.grad(output, leaves, upstream, allow_unused=True)
            return trips

        def reference() -> float:
            output, _ = reference_attention(*leaves, probe.keep_mask)
            return _seconds(lambda: torch.autograd.grad(output, leaves, upstream))

        return self._repeat(student, reference)

    def _repeat(self, student: Callable[[], list[RoundTrip]], reference: Callable[[], float]) -> _Pass:
        """Turn about, so that what else the machine does meets both; the first round warms up, unless it is slow."""
        remote = self._attention.student.remote
        mine: list[tuple[float, float]] = []  # all of it, and what the worker says
        yours: list[float] = []
        transport: list[float] = []
        started = time.perf_counter()
        with _one_thread():
            while len(yours) < MOST_REPEATS:
                trips = student()
                if not trips:
                    raise SubmissionError("raised", "The result does not depend on the inputs.")
                transport.append(sum(remote.echo(trip) for trip in trips))
                mine.append((sum(trip.seconds for trip in trips), sum(trip.inside for trip in trips)))
                yours.append(reference())
                enough = 1 if mine[0][0] > SLOW_SECONDS else self._least_repeats
                if len(yours) >= enough and time.perf_counter() - started > self._pass_seconds:
                    break
        warm = slice(1 if len(yours) > 1 else 0, None)
        # The usual way is taken off, not each trip's own. On a busy machine it may be longer than a whole trip: then
        # the worker's figure, which a submission could only make smaller, is the nearer one.
        way = statistics.median(transport[warm])
        student_seconds = [max(whole - way, inside) for whole, inside in mine[warm]]
        return _Pass(timing(student_seconds), timing(yours[warm]), way)

    def _probe(self, tokens: int) -> Probe:
        return build_probe(at_length(SPEC_BY_NAME["single"], tokens), seed=self._seed)


def timing(seconds: Sequence[float]) -> Timing:
    """Median and quartiles of some measurements."""
    if len(seconds) < 2:
        return Timing(median=seconds[0], low=seconds[0], high=seconds[0], repeats=1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median=median, low=low, high=high, repeats=len(seconds))


def growth(points: Sequence[tuple[int, float]]) -> float | None:
    """The exponent p of seconds ~ tokens ** p: the least-squares slope of log seconds over log tokens.

    From `GROWTH_TOKENS` on where two lengths or more reach that far; None when there is no slope to be had.
    """
    usable = [(math.log(tokens), math.log(seconds)) for tokens, seconds in points if seconds > 0]
    long = [point for point in usable if point[0] >= math.log(GROWTH_TOKENS)]
    fitted = long if len(long) > 1 else usable
    if len(fitted) < 2:
        return None
    return statistics.linear_regression(*zip(*fitted, strict=True)).slope


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute as the worker does, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
