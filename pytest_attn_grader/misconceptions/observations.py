"""Observations of one submission, and the questions a mistake may ask about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe, ProbeResult, ignore_padding, max_abs_error, real_rows
from pytest_attn_grader.attention.tolerances import ProbeTolerance
from pytest_attn_grader.misconceptions.source import SubmissionSource

_SIZE = re.compile(r"\((\d+)\)|size (\d+)|\b(\d+)\b")


@dataclass(frozen=True)
class Recognition:
    """A mistake was recognised by its behaviour.

    Attributes:
        probes: where it explains what went wrong.
        evidence: what gave it away, in half a sentence.
        aspects: what it explains there; None means everything.
    """

    probes: frozenset[str]
    evidence: str
    aspects: frozenset[str] | None = None

    def explains(self, probe: str, aspect: str) -> bool:
        return probe in self.probes and (self.aspects is None or aspect in self.aspects)


@dataclass(frozen=True)
class SubmissionObservations:
    """A student's records beside the reference's, on the same probes.

    Attributes:
        attempts: what the student did, by probe, in the order in which it was asked.
        references: the float64 reference on each of those probes (without dropout).
        mask_convention: "keep", "additive", "blocked", or "none" when the submission masks by itself.
        source: its text, where it is known.
        rotary_base: of the model, where it has to rotate query and key by their positions itself; None elsewhere.
    """

    attempts: Mapping[str, ProbeResult]
    probes: Mapping[str, Probe]
    references: Mapping[str, ProbeResult]
    tolerances: Mapping[str, ProbeTolerance]
    mask_convention: str = "keep"
    source: SubmissionSource = field(default_factory=SubmissionSource)
    rotary_base: float | None = None

    @cached_property
    def candidate_probes(self) -> Mapping[str, Probe]:
        """The probes as a known mistake gets them: without padding when the submission gets no mask."""
        if self.mask_convention != "none":
            return self.probes
        return {name: ignore_padding(probe) for name, probe in self.probes.items()}

    @property
    def is_rotary(self) -> bool:
        """Whether it has to rotate query and key by their positions itself."""
        return self.rotary_base is not None

    @property
    def is_windowed(self) -> bool:
        """Whether the graded layer has a sliding window."""
        return any(self.probes[name].sliding_window is not None for name in self.attempts)

    @property
    def is_normed(self) -> bool:
        """Whether it has to normalise query and key itself."""
        return any(self.probes[name].preparation is not None for name in self.attempts)

    @cached_property
    def is_finite(self) -> bool:
        """Whether nothing that the student ever gave is NaN or infinite, padded rows and gradients included."""
        tensors = [
            tensor
            for record in self.attempts.values()
            for tensor in (record.attn_output, *record.gradients.values())
            if tensor is not None
        ]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def eval_probes(self) -> tuple[str, ...]:
        return tuple(name for name in self.attempts if not self.probes[name].training)

    def train_probes(self) -> tuple[str, ...]:
        return tuple(name for name in self.attempts if self.probes[name].training)

    def everything(self) -> frozenset[str]:
        return frozenset(self.attempts)

    def all_of(self, *names: str) -> frozenset[str]:
        return frozenset(names)

    # --- failures -----------------------------------------------------------------------------------------------------

    def failure_message(self, name: str) -> str:
        record = self.attempts[name]
        failure = record.failure or record.gradient_failure
        return "" if failure is None else f"{failure.message}\n{failure.traceback}"

    def failing_line(self, name: str) -> str:
        """The line of the submission at which a probe failed, from its traceback; empty where there is none."""
        failure = self.attempts[name].failure or self.attempts[name].gradient_failure
        if failure is None or failure.where is None:
            return ""
        frames = pairwise(failure.traceback.splitlines())
        return next((line.strip() for frame, line in frames if frame.startswith(f"{failure.where} in ")), "")

    def failure_mentions(self, name: str, words: Sequence[str]) -> bool:
        message = self.failure_message(name).lower()
        return self.attempts[name].failure is not None and any(word in message for word in words)

    def raised(self, text: str, evidence: str, *, only_aspects: Sequence[str] | None = None) -> Recognition | None:
        """A finding for the probes whose exception contains `text`; None when there is none."""
        names = [name for name in self.attempts if text.lower() in self.failure_message(name).lower()]
        if not names:
            return None
        where = next(
            (
                found.where
                for name in names
                if (found := self.attempts[name].failure or self.attempts[name].gradient_failure)
            ),
            None,
        )
        return Recognition(
            frozenset(names),
            evidence if where is None else f"{evidence} ({where})",
            None if only_aspects is None else frozenset(only_aspects),
        )

    def raised_any(self, texts: Sequence[str], evidence: str) -> Recognition | None:
        """A finding for the first of several texts that an exception contains; see `raised`."""
        return next((found for text in texts if (found := self.raised(text, evidence)) is not None), None)

    def sizes(self, name: str) -> frozenset[int]:
        """Every number that an honest complaint about this probe's shapes may contain: its sizes, and their products.

        Two and three are there too, because axes are counted.
        """
        probe = self.probes[name]
        sizes = (*probe.query.shape, probe.key.shape[-2])
        return frozenset(
            {2, 3} | {math.prod(some) for number in range(1, len(sizes) + 1) for some in combinations(sizes, number)}
        )

    def grows_with_calls(self) -> bool:
        """Two identical calls complain about different sizes, or about joining tensors of different calls."""
        calls = [name for name in ("basic", "basic-again") if name in self.attempts]
        messages = [self.failure_message(name).partition("\n")[0] for name in calls]
        if len(messages) == 2 and all(messages) and messages[0] != messages[1]:
            sizes = [
                max(map(int, filter(None, (number for found in _SIZE.findall(text) for number in found))), default=0)
                for text in messages
            ]
            if sizes[1] > sizes[0] > self.probes["basic"].key.shape[-2]:
                return True
        joining = ("Sizes of tensors must match except in dimension", "Tensors must have same number of dimensions")
        messages = [self.failure_message(name) for name in self.attempts if not self.probes[name].chunks]
        return any(text in message for text in joining for message in messages)

    # --- numbers ------------------------------------------------------------------------------------------------------

    def matches_reference(self, name: str, what: str) -> bool:
        """Whether output ("output") or weights ("weights") are the reference's, within the tolerance."""
        record, reference = self.attempts[name], self.references[name]
        field = f"attn_{what}"
        student, exact = getattr(record, field), getattr(reference, field)
        if student is None or student.shape != exact.shape:
            return False
        return max_abs_error(student, exact, self.probes[name]) <= self.tolerances[name].tolerance[field]

    def equal(self, first: ProbeResult, second: ProbeResult) -> bool:
        """Whether two answers of the student to the inputs of "basic" are the same within rounding."""
        one, other = first.attn_output, second.attn_output
        if one is None or other is None or one.shape != other.shape:
            return False
        size = float(one.double().abs().nan_to_num().max())
        # NaN in the same place twice is the same answer.
        one, other = (each.masked_fill((one == other) | (one.isnan() & other.isnan()), 0) for each in (one, other))
        probe = self.probes["basic"]
        if one.shape != probe.query.shape:
            return torch.equal(one, other)
        limit = self.tolerances["basic"].tolerance["attn_output"] * max(1.0, size)
        return max_abs_error(one, other, probe) <= limit

    def blocked_weight(self, name: str) -> float | None:
        """The weight that every blocked key has; None when it is not one number, or 0 as it should be."""
        weights, probe = self.shaped_weights(name), self.probes[name]
        if weights is None:
            return None
        blocked = ~real_rows(probe.keep_mask.expand(weights.shape), probe)
        return _one_number(real_rows(weights.double(), probe)[blocked]) or None

    def blocked_score(self, name: str) -> float | None:
        """The score that blocked keys must have had, read off the student's weights; None when it is not one number."""
        found = self._implied_scores(name)
        return None if found is None else _one_number(found[0][~found[2]])

    def blocked_offset(self, name: str) -> float | None:
        """Number that must have been added to the scores of blocked keys; None when there is not one such number."""
        found = self._implied_scores(name)
        return None if found is None else _one_number((found[0] - found[1])[~found[2]])

    def score_factor(self, name: str, scores: Tensor | None = None) -> float | None:
        """The one factor on the scores that explains every weight of the student; None when there is none.

        Args:
            scores: ``(batch, num_heads, query_len, key_len)``; None means the right ones.
        """
        found = self._implied_scores(name)
        if found is None:
            return None
        implied, exact, keep = found
        usable = keep & implied.isfinite()
        if scores is not None:
            exact = real_rows(scores, self.probes[name])
        reference_scores, student_scores = _centred(exact, usable), _centred(implied, usable)
        norm, size = float(reference_scores.square().sum()), float(student_scores.abs().max())
        if norm == 0 or size == 0:
            return None
        factor = float((reference_scores * student_scores).sum()) / norm
        residual = float((student_scores - factor * reference_scores).abs().max())
        return factor if residual < 1e-3 * size and abs(factor - 1) > 1e-3 else None

    def kept_weights(self, name: str) -> Tensor | None:
        """The student's whole weights on a probe, if they are finite and of the right shape."""
        weights = self.shaped_weights(name)
        return weights if weights is not None and bool(weights.isfinite().all()) else None

    def shaped_weights(self, name: str) -> Tensor | None:
        """The student's whole weights on a probe, if they are of the right shape."""
        record = self.attempts.get(name)
        if record is None or record.attn_weights is None:
            return None
        probe = self.probes[name]
        has_shape = record.attn_weights.shape == (*probe.query.shape[:-1], probe.key.shape[-2])
        return record.attn_weights if has_shape else None

    def distance_slopes(self, name: str) -> Tensor | None:
        """By how much each head's scores fall with every token of distance; None unless that explains all of them."""
        found = self._implied_scores(name)
        if found is None:
            return None
        implied, exact, keep = found  # (rows, num_heads, key_len)
        usable = keep & implied.isfinite()
        positions = torch.arange(implied.shape[-1], dtype=torch.float64).expand_as(implied)
        difference, position = _centred(implied - exact, usable), _centred(positions, usable)
        slopes = (difference * position).sum((0, 2)) / position.square().sum((0, 2)).clamp_min(1e-12)  # (num_heads,)
        residual = (difference - slopes[:, None] * position).abs().max()
        return slopes if float(residual) < 1e-3 * max(1.0, float(difference.abs().max())) else None

    def _implied_scores(self, name: str) -> tuple[Tensor, Tensor, Tensor] | None:
        """Scores that give the student's weights, the right scores, and which keys are kept; on judged rows.

        A row's scores are known up to a constant: the one of the kept key with the largest weight is set to the right
        one.
        """
        whole = self.shaped_weights(name)
        if whole is None:
            return None
        probe = self.probes[name]
        weights = real_rows(whole.double(), probe)
        query, key = (tensor.double() for tensor in probe.prepared)
        scores = real_rows(query @ key.transpose(-2, -1), probe) / probe.query.shape[-1] ** 0.5
        keep = real_rows(probe.keep_mask.expand(whole.shape), probe)
        best = weights.masked_fill(~keep, -1.0).argmax(-1, keepdim=True)
        largest = weights.gather(-1, best)
        known = (weights > 1e-30) & (largest > 1e-6)
        implied = scores.gather(-1, best) + (weights.clamp_min(1e-300) / largest.clamp_min(1e-300)).log()
        return implied.masked_fill(~known, float("nan")), scores, keep


def _one_number(numbers: Tensor) -> float | None:
    """Value of most of the numbers; None when they are few or differ."""
    numbers = numbers[numbers.isfinite()]
    if numbers.numel() < 3:
        return None
    middle = float(numbers.median())
    # People write round numbers; what was read off weights has lost its last digits.
    rounded = float(f"{middle:.4g}")
    middle = rounded if abs(middle - rounded) < 1e-4 * abs(middle) else middle
    return middle if float((numbers - middle).abs().median()) < 1e-3 * max(1.0, abs(middle)) else None


def _centred(scores: Tensor, usable: Tensor) -> Tensor:
    """Scores minus their row's mean over the usable keys; 0 elsewhere."""
    mean = scores.masked_fill(~usable, 0).sum(-1, keepdim=True) / usable.sum(-1, keepdim=True).clamp_min(1)
    return (scores - mean).masked_fill(~usable, 0)
