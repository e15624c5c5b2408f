"""Explanation of a submission's answers, and the choice of one when several fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from pytest_attn_grader.misconceptions.base import Misconception
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS, find_misconception
from pytest_attn_grader.misconceptions.hypotheses import Hypothesis
from pytest_attn_grader.misconceptions.mismatches import Fault, MismatchFinder
from pytest_attn_grader.misconceptions.observations import Recognition


@dataclass(frozen=True)
class Explanation:
    """Attributes:
    mistakes: what was found, the most fundamental first.
    findings: what gave a mistake away, by slug, where it was a behaviour and not equal numbers.
    look_alikes: slugs of mistakes that fit just as well.
    distance: largest difference between the student and the attention with these mistakes.
    num_probes: probes on which they agree.
    unexplained: faults that remain; empty when everything is explained.
    fitted: a constant was read off the student's own numbers, so that a mistake without one is the better explanation.
    is_exhaustive: every hypothesis was tried; False where the time was up before.
    """

    mistakes: tuple[Misconception, ...]
    findings: dict[str, Recognition]
    look_alikes: tuple[str, ...]
    note: str
    distance: float
    num_probes: int
    unexplained: frozenset[Fault]
    fitted: bool = False
    is_exhaustive: bool = True


class ExplanationRanker:
    """Turns hypotheses that fit into one explanation."""

    def __init__(self, finder: MismatchFinder) -> None:
        self._finder = finder
        self._case = finder.case

    def complete(self, hypotheses: Iterable[Hypothesis]) -> Explanation | None:
        """The explanation with the fewest mistakes among those that leave nothing unexplained."""
        fitting = [hypothesis for hypothesis in hypotheses if self._finder.explains_all(hypothesis)]
        return self._best_of([self.explanation(hypothesis, frozenset()) for hypothesis in fitting]) if fitting else None

    def _best_of(self, explained: Sequence[Explanation]) -> Explanation:
        fewest = min(len(explanation.mistakes) for explanation in explained)
        fitting = [explanation for explanation in explained if len(explanation.mistakes) == fewest]
        best = min(fitting, key=self._rank)
        fitting = [explanation for explanation in fitting if explanation.fitted == best.fitted]
        named = {mistake.slug for mistake in best.mistakes}
        twins = [
            mistake.slug
            for explanation in fitting
            if not self._is_decided(best, explanation)
            for mistake in explanation.mistakes
        ]
        twins += [
            twin.slug
            for mistake in best.mistakes
            if len(best.mistakes) > 1
            for twin in self._twins(mistake)
            if self.is_shown(mistake) <= 0 or self.is_shown(twin) > 0
        ]
        return replace(best, look_alikes=tuple(dict.fromkeys(slug for slug in twins if slug not in named)))

    def _is_decided(self, best: Explanation, other: Explanation) -> bool:
        """Whether the source shows a mistake of `best`, and not what stands in its place in `other`."""
        lost = [mistake for mistake in best.mistakes if mistake not in other.mistakes]
        instead = [mistake for mistake in other.mistakes if mistake not in best.mistakes]
        return any(self.is_shown(each) > 0 for each in lost) and not all(self.is_shown(each) > 0 for each in instead)

    def _rank(self, explanation: Explanation) -> tuple[object, ...]:
        """Most fundamental first; a mistake about additive masks only when the submission says that its masks are."""
        odd = [
            ("additive" in mistake.slug) != (self._case.mask_convention == "additive")
            for mistake in explanation.mistakes
            if mistake.slug in {"additive-as-bool", "mask-inverted"}
        ]
        shown = sum(self.is_shown(mistake) for mistake in explanation.mistakes)
        return (
            explanation.fitted and shown <= 0,
            sum(odd),
            -shown,
            [MISCONCEPTIONS.index(mistake) for mistake in explanation.mistakes],
        )

    def is_shown(self, mistake: Misconception) -> int:
        """1 where the source shows the mistake, -1 where it could and does not, 0 where it says nothing."""
        if mistake.shown_by is None or not self._case.source.is_known:
            return 0
        return 1 if mistake.shown_by(self._case.source) else -1

    def _shown_twin(self, mistake: Misconception) -> Misconception:
        """The mistake, or one with the same numbers that the source shows, where it does not show this one."""
        if self.is_shown(mistake) > 0:
            return mistake
        shown = [find_misconception(slug) for slug in mistake.look_alikes]
        shown = [known for known in shown if self.is_shown(known) > 0 and self._same_numbers(known, mistake)]
        return shown[0] if shown else mistake

    def _twins(self, mistake: Misconception) -> Iterator[Misconception]:
        """Look-alikes that were left out of the search for pairs, because their numbers are the same."""
        for known in MISCONCEPTIONS:
            if known.slug in mistake.look_alikes and self._same_numbers(known, mistake):
                yield known

    def _same_numbers(self, one: Misconception, other: Misconception) -> bool:
        if not (one.by_numbers and other.by_numbers):
            return False
        usual = [Hypothesis((known,), known.changes[0]) for known in (one, other)]
        records = [
            tuple(self._finder.predictions.of(each, name, self._case).record for each in usual)
            for name in self._finder.names
        ]
        return all(
            (first.attn_output is None) == (second.attn_output is None)
            and (
                first.attn_output is None
                or second.attn_output is None
                or torch.allclose(first.attn_output, second.attn_output, rtol=1e-2, atol=1e-4, equal_nan=True)
            )
            for first, second in records
        )

    def explanation(self, hypothesis: Hypothesis, unexplained: frozenset[Fault]) -> Explanation:
        faults = self._finder.faults(hypothesis)
        needed = self._needed_findings(faults, hypothesis)
        decided = {self._shown_twin(mistake) for mistake in hypothesis.mistakes}
        mistakes = sorted({*decided, *(known for known, _ in needed)}, key=MISCONCEPTIONS.index)
        return Explanation(
            mistakes=tuple(mistakes),
            findings={known.slug: finding for known, finding in needed},
            look_alikes=(),
            note=hypothesis.change.note,
            distance=self._finder.distance(hypothesis),
            num_probes=len({*self._finder.names} - {name for name, _ in faults} - {*self._case.train_probes()}),
            unexplained=unexplained,
            fitted=len(hypothesis.mistakes) == 1 and not hypothesis.is_catalogued,
        )

    def _needed_findings(
        self, faults: frozenset[Fault], hypothesis: Hypothesis
    ) -> list[tuple[Misconception, Recognition]]:
        """The fewest behaviours, the most fundamental first, that account for the faults a hypothesis leaves."""
        needed: list[tuple[Misconception, Recognition]] = []
        left = set(faults)
        for known, finding in self._finder.findings:
            explained = {fault for fault in left if finding.explains(*fault)}
            if explained and known.slug not in hypothesis.slugs:
                needed.append((known, finding))
            left -= explained
        # A mistake recognised in training is reported too, unless something needed already accounts for it.
        for known, finding in self._finder.behaviours_in_training():
            if not any(finding.probes <= other.probes for _, other in needed):
                needed.append((known, finding))
        return needed
