"""Mismatches between a submission's answers and the predictions of a hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import real_rows
from pytest_attn_grader.misconceptions.base import Misconception
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS
from pytest_attn_grader.misconceptions.hypotheses import CORRECT, Hypothesis
from pytest_attn_grader.misconceptions.matching import (
    UNEXPLAINED_SHARE,
    CandidateResult,
    Match,
    compare,
    same_failure,
)
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations

Fault = tuple[str, str]


class PredictionCache:
    """Cache of the catalogue's answers by probe; share one object among submissions."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, bool, bool, str], CandidateResult] = {}

    def of(self, hypothesis: Hypothesis, name: str, case: SubmissionObservations) -> CandidateResult:
        """The prediction for one probe; what was put together for one submission alone is not kept."""
        probe = case.candidate_probes[name]
        if not hypothesis.is_catalogued:
            return CandidateResult(hypothesis.pipeline, probe)
        key = (hypothesis.change, hypothesis.infinite_fill, hypothesis.has_zero_rows, probe.fingerprint)
        if key not in self._known:
            self._known[key] = CandidateResult(hypothesis.pipeline, probe)
        return self._known[key]


class MismatchFinder:
    """One submission against any hypothesis, with what was recognised by behaviour taken into account."""

    def __init__(self, case: SubmissionObservations, predictions: PredictionCache) -> None:
        self.case = case
        self.predictions = predictions
        # float16 is tried and reported, and costs nothing.
        self.names = [name for name in case.attempts if name != "float16"]
        self.first = self.names[0] if self.names else None
        self.findings: list[tuple[Misconception, Recognition]] = [
            (known, found)
            for known in MISCONCEPTIONS
            if known.counted and known.recognise is not None and (found := known.recognise(case)) is not None
        ]
        self._faults: dict[Hypothesis, frozenset[Fault]] = {}
        self._distances: dict[Hypothesis, float] = {}
        self._refuted: set[Hypothesis] = set()

    def faults(self, hypothesis: Hypothesis) -> frozenset[Fault]:
        """Every probe and aspect in which the student differs from the hypothesis."""
        if hypothesis not in self._faults:
            found: set[Fault] = set()
            distance = 0.0
            for name in self.names:
                match = self._compare(hypothesis, name)
                found |= {(name, aspect) for aspect in match.mismatched}
                distance = max(distance, match.distance if self._is_ordinary(name) else 0.0)
            self._faults[hypothesis] = frozenset(found)
            self._distances[hypothesis] = distance
        return self._faults[hypothesis]

    def distance(self, hypothesis: Hypothesis) -> float:
        """Largest difference in output and weights, where they agree, on probes of ordinary precision and size."""
        self.faults(hypothesis)
        return self._distances[hypothesis]

    def unexplained(self, faults: Iterable[Fault]) -> frozenset[Fault]:
        """The faults that no recognised behaviour accounts for."""
        return frozenset(fault for fault in faults if not any(finding.explains(*fault) for _, finding in self.findings))

    def explains_all(self, hypothesis: Hypothesis) -> bool:
        """Whether nothing is left unexplained; stops at the first probe that does not fit, the doubtful ones first."""
        if not self._has_finite_numbers and not (hypothesis is CORRECT or hypothesis.is_catalogued):
            # What is NaN everywhere equals nothing that was put together for it.
            return False
        if hypothesis in self._faults:
            return not self.unexplained(self._faults[hypothesis])
        if hypothesis not in self._refuted:
            doubtful = {name for name, _ in self.faults(CORRECT)}
            for name in sorted(self.names, key=lambda name: name not in doubtful):
                mismatched = self._compare(hypothesis, name).mismatched
                if self.unexplained((name, aspect) for aspect in mismatched):
                    self._refuted.add(hypothesis)
                    break
        return hypothesis not in self._refuted

    @cached_property
    def _has_finite_numbers(self) -> bool:
        """Whether some output is finite somewhere, or there is none at all to compare."""
        outputs = [record.attn_output for name, record in self.case.attempts.items() if name in self.names]
        numbers = [output for output in outputs if output is not None]
        return not numbers or any(bool(output.isfinite().any()) for output in numbers)

    def fitting_first(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Those whose forward pass of the first probe fits, which rules most out cheaply."""
        far = self._far_at_first(hypotheses)
        return [hypothesis for hypothesis in hypotheses if hypothesis not in far and self._fits_first(hypothesis)]

    def fits_first_weights(self, hypothesis: Hypothesis) -> bool:
        """Whether the weights of the first probe fit too, where they are returned."""
        if self.first is None:
            return False
        mismatched = self._compare(hypothesis, self.first, only=("weights",)).mismatched
        return not self.unexplained((self.first, aspect) for aspect in mismatched)

    def _fits_first(self, hypothesis: Hypothesis) -> bool:
        if self.first is None:
            return False
        mismatched = self._compare(hypothesis, self.first, only=("output",)).mismatched & {"answer", "output"}
        return not self.unexplained((self.first, aspect) for aspect in mismatched)

    def _far_at_first(self, hypotheses: Sequence[Hypothesis]) -> set[Hypothesis]:
        """Those that explain too little of the first output: one subtraction for all of them."""
        if self._first_rows is None or self.first is None:
            return set()
        (student, explained), probe = self._first_rows, self.case.probes[self.first]
        outputs = {
            hypothesis: output
            for hypothesis in hypotheses
            if (output := self.predictions.of(hypothesis, self.first, self.case).attn_output) is not None
            and (output.shape, output.dtype) == (probe.query.shape, probe.query.dtype)
        }
        if not outputs:
            return set()
        rows = torch.stack([*outputs.values()]).transpose(2, 3)[:, probe.real_rows]
        left = (student - rows).square().mean(dim=(1, 2, 3))
        # Where a number is not finite, the comparison decides.
        far = (left.isfinite() & (left > explained)).tolist()
        return {hypothesis for hypothesis, is_far in zip(outputs, far, strict=True) if is_far}

    @cached_property
    def _first_rows(self) -> tuple[Tensor, float] | None:
        """The first output's rows, and how much of them may stay unexplained; None where it is not simply wrong."""
        if self.first is None:
            return None
        case, probe = self.case, self.case.probes[self.first]
        output, reference = case.attempts[self.first].attn_output, case.references[self.first].attn_output
        if output is None or reference is None or output.shape != probe.query.shape:
            return None
        if self.unexplained([(self.first, "output")]) == frozenset():
            return None
        student = real_rows(output, probe)
        wrong = student.double() - real_rows(reference, probe).double()
        if not bool(wrong.abs().max() > case.tolerances[self.first].tolerance["attn_output"]):
            return None
        return student, UNEXPLAINED_SHARE**2 * float(wrong.square().mean())

    def is_refuted_by_gradients(self, hypothesis: Hypothesis) -> bool:
        """Whether the student's gradients reach an input that the mistake does not use."""
        for name in self.names:
            student = self.case.attempts[name]
            if not student.gradients or student.gradient_failure is not None or student.failure is not None:
                continue
            prediction = self.predictions.of(hypothesis, name, self.case).record
            if prediction.failure is not None or prediction.gradient_failure is not None:
                continue
            for each, gradient in student.gradients.items():
                predicted, limit = prediction.gradients.get(each), self.case.tolerances[name].tolerance.get(each, 0.0)
                size = 0.0 if gradient is None else float(gradient.nan_to_num().abs().max())
                if (predicted is None and size > 0) or (
                    predicted is not None and size > limit and not bool((predicted != 0).any())
                ):
                    return True
        return False

    def behaviours_in_training(self) -> list[tuple[Misconception, Recognition]]:
        """Behaviours recognised in training only, where numbers cannot be compared."""
        training = set(self.case.train_probes())
        return [(known, finding) for known, finding in self.findings if finding.probes and finding.probes <= training]

    def _compare(self, hypothesis: Hypothesis, name: str, only: tuple[str, ...] | None = None) -> Match:
        case = self.case
        student, probe = case.attempts[name], case.probes[name]
        prediction = self.predictions.of(hypothesis, name, case)
        if probe.training:
            # Training is random: numbers cannot be compared there, only behaviour.
            same = same_failure(student.failure, prediction.record.failure)
            return Match(frozenset() if same else frozenset({"answer"}), 0.0)
        return compare(
            student,
            prediction,
            probe,
            case.references[name],
            case.tolerances[name],
            own_probe=case.candidate_probes[name],
            only=only,
        )

    def _is_ordinary(self, name: str) -> bool:
        return self.case.probes[name].query.dtype == torch.float32 and name != "large-scores"
