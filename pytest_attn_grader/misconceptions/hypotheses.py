"""Mistakes put together so that they can be run: none, one, or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_attn_grader.misconceptions.base import Misconception
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import StagedAttention, StageOverride


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """Mistakes put together, ready to run."""

    mistakes: tuple[Misconception, ...]
    change: StageOverride
    infinite_fill: bool = False
    has_zero_rows: bool = False

    @property
    def pipeline(self) -> StagedAttention:
        return self.change.pipeline(infinite_fill=self.infinite_fill, has_zero_rows=self.has_zero_rows)

    @property
    def is_usual(self) -> bool:
        """Whether it is the first form of a single mistake."""
        return len(self.mistakes) == 1 and self.change is self.mistakes[0].changes[0]

    @property
    def is_catalogued(self) -> bool:
        """Whether it is the same for every submission: not put together, and no constant read off anyone's numbers."""
        return len(self.mistakes) <= 1 and (self is CORRECT or self.change in self.mistakes[0].changes)

    @property
    def slugs(self) -> frozenset[str]:
        return frozenset(mistake.slug for mistake in self.mistakes)

    def combine(self, other: Hypothesis) -> Iterator[Hypothesis]:
        """Both together, in every order that makes a difference."""
        if self.slugs & other.slugs:
            return
        both = tuple(sorted({*self.mistakes, *other.mistakes}, key=MISCONCEPTIONS.index))
        fills = (self.infinite_fill or other.infinite_fill, self.has_zero_rows or other.has_zero_rows)
        forth, back = self.change.combine(other.change), other.change.combine(self.change)
        if forth is not None:
            yield Hypothesis(both, forth, *fills)
        if back is not None and self.change.stages.keys() & other.change.stages.keys():
            yield Hypothesis(both, back, *fills)


CORRECT = Hypothesis((), StageOverride())


def single_hypotheses(case: SubmissionObservations) -> Iterator[Hypothesis]:
    """Every known mistake in every form that running it can show."""
    asked = [case.probes[name] for name in case.attempts]
    is_causal = not any(probe.is_bidirectional for probe in asked)
    has_masked_keys = not all(bool(probe.keep_mask.all()) for probe in asked)
    for known in MISCONCEPTIONS:
        if not (known.by_numbers and known.counted):
            continue
        # Where nothing is to be masked, no mask can be wrong in one of the known ways.
        if known.family == "mask" and known.causal is not False and not has_masked_keys:
            continue
        required = (
            (known.rotary, case.is_rotary),
            (known.windowed, case.is_windowed),
            (known.normed, case.is_normed),
            (known.causal, is_causal),
        )
        if any(wanted is not None and wanted != actual for wanted, actual in required):
            continue
        if known.family == "cache" and not any(case.probes[name].chunks for name in case.attempts):
            continue
        if known.only_shown and case.source.is_known and known.shown_by and not known.shown_by(case.source):
            continue
        fitted = known.fit(case) if known.fit is not None else ()
        for change in (*known.changes, *fitted):
            yield Hypothesis((known,), change)
            # Where everything is finite, no row was filled with infinity as a whole.
            if known.fill_matters and not case.is_finite:
                yield Hypothesis((known,), change, infinite_fill=True)
            # PyTorch's function makes such a row 0.
            if known.fill_matters and case.source.calls("scaled_dot_product_attention", "MultiheadAttention"):
                yield Hypothesis((known,), change, has_zero_rows=True)


def has_earlier_look_alike(hypothesis: Hypothesis) -> bool:
    """Whether a mistake with the same numbers comes earlier in the catalogue."""
    known = hypothesis.mistakes[0]
    earlier = {each.slug for each in MISCONCEPTIONS[: MISCONCEPTIONS.index(known)]}
    return bool(earlier & set(known.look_alikes))
