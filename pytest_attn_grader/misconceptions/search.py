"""Find the mistakes that explain a submission's answers: one, else two, else the best part of an explanation.

A *fault* is a probe and an aspect of the answer ("output", "weights", "query" for its gradient, "backward", "key
after", "answer" for an exception) in which the student differs from a prediction. The correct attention predicts some
answers; the faults that remain are what has to be explained. A set of mistakes explains them when the attention that
makes exactly these mistakes leaves no fault, apart from those that a behaviour (an exception, random numbers) accounts
for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, product
from typing import TypeVar

from pytest_attn_grader.attention.dropout import estimate_dropout
from pytest_attn_grader.attention.probes import INPUT_NAMES, real_rows
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS, find_misconception
from pytest_attn_grader.misconceptions.explanation import Explanation, ExplanationRanker
from pytest_attn_grader.misconceptions.hypotheses import CORRECT, Hypothesis, has_earlier_look_alike, single_hypotheses
from pytest_attn_grader.misconceptions.mismatches import Fault, MismatchFinder, PredictionCache
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.rough_match import ROUGH_TOLERANCE, RoughMatcher

# Bounds of the search for two mistakes, in processor time, which other work on the machine does not change.
MIN_SECONDS = 2.0
MAX_SECONDS = 10.0
# Share and factor of real dropout differ by chance: a few hundred weights, fewer when heads share their random numbers.
_SURPRISING = 0.15
# An exception on one side only is as far off as an answer that is wrong in every aspect.
_ASPECTS_OF_AN_ANSWER = 5

T = TypeVar("T")


class Search:
    """One submission's case, and the mistakes that may explain it.

    Args:
        seconds: time for two mistakes, within `MIN_SECONDS` and `MAX_SECONDS`; single ones are always tried.
    """

    def __init__(
        self,
        case: SubmissionObservations,
        predictions: PredictionCache | None = None,
        *,
        seconds: float = math.inf,
    ) -> None:
        self.case = case
        self._deadline = time.thread_time() + min(max(seconds, MIN_SECONDS), MAX_SECONDS)
        self._is_exhaustive = True
        self._finder = MismatchFinder(case, predictions or PredictionCache())
        self._judge = ExplanationRanker(self._finder)

    def run(self) -> Explanation | None:
        """The best explanation there is; None when there is nothing to explain."""
        faults = self._finder.faults(CORRECT)
        if not faults and not self._finder.behaviours_in_training():
            return None
        found = self._judge.complete([CORRECT])
        if found is not None and len(found.mistakes) <= 1:
            return found
        singles = [*single_hypotheses(self.case)]
        near = self._finder.fitting_first(singles)
        complete = self._judge.complete([CORRECT, *near]) or self._dropped(singles)
        if complete is not None:
            return complete
        if all(record.failure is not None for record in self.case.attempts.values()):
            return self._partial(near, [])  # without a number, two mistakes cannot be distinguished from two others
        hidden = [hypothesis for hypothesis in singles if self._is_hidden(hypothesis)]
        complete = self._judge.complete(self._in_time(self._with_hidden(near, hidden)))
        if complete is not None:
            return complete
        # Where one mistake gives the first output and weights, or none does, two that both show there do not.
        is_found = any(self._finder.fits_first_weights(hypothesis) for hypothesis in near)
        pairs = [] if is_found else [*self._visible_pairs(singles, hidden)]
        return self._judge.complete(self._in_time(pairs)) or self._partial(near, pairs)

    def _in_time(self, tried: Iterable[T]) -> Iterator[T]:
        """Yield while there is time."""
        for each in tried:
            if time.thread_time() > self._deadline:
                self._is_exhaustive = False
                return
            yield each

    def _with_hidden(self, near: Sequence[Hypothesis], hidden: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Hypotheses that fit the first probe, each joined with one that does not show there."""
        joined: dict[frozenset[Hypothesis], list[Hypothesis]] = {}
        for one, other in self._in_time(product(near, hidden)):
            # Two mistakes that do not touch each other leave the faults that neither explains.
            if one in hidden and self._finder.unexplained(self._finder.faults(one) & self._finder.faults(other)):
                continue
            joined.setdefault(frozenset({one, other}), [*one.combine(other)])
        return [pair for pairs in joined.values() for pair in pairs]

    def _visible_pairs(self, singles: Sequence[Hypothesis], hidden: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Two mistakes that both show on the first probe, one of each group of look-alikes, first in usual form."""
        if self._finder.first is None:
            return []
        case, name = self.case, self._finder.first
        matcher = RoughMatcher(case.attempts[name].attn_output, case.candidate_probes[name])
        visible = [each for each in singles if each not in hidden and not has_earlier_look_alike(each)]
        primary = [each for each in visible if each.is_usual]
        variants = [each for each in visible if not each.is_usual]
        for pairs in (combinations(primary, 2), product(primary, variants)):
            found = [*matcher.matching(pair for one, other in self._in_time(pairs) for pair in one.combine(other))]
            if found:
                return found
        return []

    def _is_hidden(self, hypothesis: Hypothesis) -> bool:
        """Whether the first probe's forward pass looks like a correct one's."""
        if self._finder.first is None:
            return False
        case, name = self.case, self._finder.first
        exact = case.references[name].attn_output
        output = self._finder.predictions.of(hypothesis, name, case).attn_output
        if output is None or exact is None or output.shape != exact.shape:
            return False
        rows = case.probes[name]
        difference = (real_rows(output.double(), rows) - real_rows(exact.double(), rows)).abs()
        return bool(difference.isfinite().all()) and float(difference.max()) < ROUGH_TOLERANCE

    def _dropped(self, singles: Sequence[Hypothesis]) -> Explanation | None:
        """A mistake together with dropout that is always on: its weights, some set to 0 and the others enlarged."""
        case = self.case
        first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
        if first is None or again is None or case.equal(first, again):
            return None
        always_on = find_misconception("dropout-eval")
        candidates: list[tuple[float, int, Hypothesis]] = []
        for number, hypothesis in enumerate(singles):
            weights = self._finder.predictions.of(hypothesis, "basic", case).record.attn_weights
            found = [
                estimate_dropout(record.attn_output, weights, case.probes["basic"])
                for record in (first, again)
                if record.attn_output is not None
            ]
            if len(found) == 2 and all(found):
                candidates.append((max(each.deviation for each in found if each is not None), number, hypothesis))
        # A blocked key looks dropped when a weight is expected there, but then the factor does not fit dropout.
        deviation, _, hypothesis = min(candidates, key=lambda each: each[:2], default=(1.0, 0, CORRECT))
        if deviation > _SURPRISING:
            return None
        evidence = "some weights are exactly 0 and the others enlarged, although training is off"
        finding = Recognition(case.everything(), evidence)
        mistakes = tuple(sorted({always_on, *hypothesis.mistakes}, key=MISCONCEPTIONS.index))
        return Explanation(mistakes, {always_on.slug: finding}, (), hypothesis.change.note, 0.0, 1, frozenset())

    def _partial(self, near: Sequence[Hypothesis], pairs: Sequence[Hypothesis]) -> Explanation:
        """The explanation that leaves the fewest faults; without mistakes when none removes half of them.

        Single mistakes are tried whatever the time: the search for pairs may have used it up.
        """
        before = _cost(self._finder.faults(CORRECT))
        empty = frozenset(fault for fault in self._finder.faults(CORRECT) if not self._has_numbers(*fault))

        def unexplained(each: Hypothesis) -> frozenset[Fault]:
            # Where no number is finite, an attention that is NaN as well explains nothing, unless the source shows it.
            is_shown = any(self._judge.is_shown(mistake) > 0 for mistake in each.mistakes)
            return self._finder.unexplained(self._finder.faults(each) | (frozenset() if is_shown else empty))

        near = [hypothesis for hypothesis in near if not self._is_refuted(hypothesis)]
        best = min(
            chain([CORRECT, *near], (pair for pair in self._in_time(pairs) if not self._is_refuted(pair))),
            key=lambda each: (_cost(unexplained(each)), len(each.mistakes)),
        )
        left = unexplained(best)
        if _cost(left) * 2 > before:
            best, left = CORRECT, self._finder.unexplained(self._finder.faults(CORRECT))
        return replace(self._judge.explanation(best, left), is_exhaustive=self._is_exhaustive)

    def _has_numbers(self, name: str, aspect: str) -> bool:
        """Whether what differs on a probe has a finite number, or is no tensor."""
        record = self.case.attempts[name]
        tensor = {"output": record.attn_output, "weights": record.attn_weights, **record.gradients}.get(aspect)
        return tensor is None or bool(tensor.isfinite().any())

    def _is_refuted(self, hypothesis: Hypothesis) -> bool:
        """Whether source or gradients speak against a mistake that explains only a part of the faults."""
        if any(self._judge.is_shown(mistake) < 0 for mistake in hypothesis.mistakes):
            return True
        if len(hypothesis.mistakes) > 1 and self._misses_gradients(hypothesis):
            return True
        return self._finder.is_refuted_by_gradients(hypothesis)

    def _misses_gradients(self, hypothesis: Hypothesis) -> bool:
        """Whether it gives an output and not its gradients: two mistakes that only happen to give these numbers."""
        left = self._finder.unexplained(self._finder.faults(hypothesis))
        wrong = {name for name, aspect in self._finder.faults(CORRECT) if aspect == "output"}
        return any(aspect in INPUT_NAMES and name in wrong and (name, "output") not in left for name, aspect in left)


def _cost(faults: Iterable[Fault]) -> int:
    return sum(_ASPECTS_OF_AN_ANSWER if aspect == "answer" else 1 for _, aspect in faults)
