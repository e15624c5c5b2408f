"""Answers that a known mistake would have given, and whether the student's answer is the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import (
    INPUT_NAMES,
    InProcessAttention,
    Probe,
    ProbeResult,
    in_float64,
    real_rows,
    without_gradients,
)
from pytest_attn_grader.attention.tolerances import FACTOR, FLOOR_EPS, ProbeTolerance
from pytest_attn_grader.misconceptions.stages import StagedAttention
from pytest_attn_grader.results.submission import Failure

# A mistake that explains a difference leaves at most this share of it (root mean square).
UNEXPLAINED_SHARE = 0.3
# Where infinities begin is a matter of rounding: so many of the numbers may be finite on one side only.
_FINITENESS_SLACK = 0.02


@dataclass(frozen=True)
class CandidateResult:
    """Result of a candidate on a probe, in the probe's precision and, when it matters, in float64."""

    attention: StagedAttention
    probe: Probe

    @cached_property
    def record(self) -> ProbeResult:
        return run_probe(self.attention, self.probe)

    @cached_property
    def attn_output(self) -> Tensor | None:
        """The output alone, which most candidates are ruled out by: a backward pass takes longer."""
        return run_probe(self.attention, without_gradients(self.probe)).attn_output

    @cached_property
    def exact(self) -> ProbeResult:
        """Result in float64; its distance from `record` is the candidate's rounding."""
        return run_probe(self.attention, in_float64(self.probe))


@dataclass(frozen=True)
class Match:
    """Comparison of a student's record with a prediction: aspects that do not fit, largest distance of the rest."""

    mismatched: frozenset[str]
    distance: float


def run_probe(attention: StagedAttention, probe: Probe) -> ProbeResult:
    """Put a candidate to a probe; whatever it raises is part of what it does."""
    try:
        if probe.chunks:
            return _run_in_chunks(attention, probe)
        return InProcessAttention(_with_window(attention, probe)).run_probe(probe)
    except Exception as error:  # noqa: BLE001 - a wrong attention may fail in any way, as a student's may
        failure = Failure(name="raised", message=f"{type(error).__name__}: {error}")
    if probe.upstream is not None:
        forward = run_probe(attention, without_gradients(probe))
        if forward.failure is None:
            return ProbeResult(
                probe=probe.name,
                attn_output=forward.attn_output,
                attn_weights=forward.attn_weights,
                weights_returned=forward.weights_returned,
                gradients=dict.fromkeys(INPUT_NAMES),
                gradient_failure=failure,
                inputs_after=forward.inputs_after,
            )
    return ProbeResult(probe=probe.name, failure=failure)


def _with_window(attention: StagedAttention, probe: Probe) -> StagedAttention:
    """The candidate with the probe's window, where there is one."""
    if probe.sliding_window is None:
        return attention
    return replace(attention, sliding_window=probe.sliding_window, full_keep_mask=probe.full_keep_mask)


def _run_in_chunks(attention: StagedAttention, probe: Probe) -> ProbeResult:
    """Put a candidate to each call of a probe with a cache: new queries, and all keys so far."""
    starts: tuple[int, ...] = ()
    outputs = []
    full = probe.full_keep_mask
    for stop, length in zip(accumulate(probe.chunks), probe.chunks, strict=True):
        new = slice(stop - length, stop)
        starts = (*starts, new.start)
        part = replace(
            probe,
            query=probe.query[..., new, :],
            key=probe.key[..., :stop, :],
            value=probe.value[..., :stop, :],
            keep_mask=probe.keep_mask[..., new, :stop],
            full_keep_mask=None if full is None else full[..., new, :stop],
            real_rows=probe.real_rows[:, new],
            chunks=(),
        )
        answer = InProcessAttention(replace(_with_window(attention, part), chunk_starts=starts)).run_probe(part)
        assert answer.attn_output is not None  # it has raised otherwise
        outputs.append(answer.attn_output)
    return ProbeResult(probe=probe.name, attn_output=torch.cat(outputs, dim=-2))


def same_failure(student: Failure | None, candidate: Failure | None) -> bool:
    """Whether both answer, or both raise the same kind of exception over the same sizes.

    A number that a dtype cannot hold is another kind than two dtypes that do not go together, though both are a
    RuntimeError without sizes.
    """
    if student is None or candidate is None:
        return student is candidate
    first, second = (failure.message.partition("\n")[0] for failure in (student, candidate))
    same_kind = student.name == candidate.name and first.partition(":")[0] == second.partition(":")[0]
    same_kind = same_kind and ("overflow" in first) == ("overflow" in second)
    return same_kind and _sizes(first) == _sizes(second)


def _sizes(message: str) -> set[str]:
    """The numbers a message complains about; which axis it was depends on the rank the student works at."""
    return set(_SIZE.findall(_AXIS.sub("", message)))


_AXIS = re.compile(r"dimension \d+")
_SIZE = re.compile(r"\b\d+\b")


def compare(
    student: ProbeResult,
    prediction: CandidateResult,
    probe: Probe,
    reference: ProbeResult,
    tolerance: ProbeTolerance,
    *,
    own_probe: Probe,
    only: tuple[str, ...] | None = None,
) -> Match:
    """Compare a student's record with a candidate's.

    Args:
        probe: what the student was given.
        own_probe: what the candidate was given (the same but for a mask that the student does not take).
        only: the aspects that are asked for, of those that are tensors; None for all of them, and the others too.
    """
    candidate = prediction.record
    if student.failure is not None or candidate.failure is not None:
        same = same_failure(student.failure, candidate.failure)
        return Match(frozenset() if same else frozenset({"answer"}), 0.0)
    mismatched: set[str] = set()
    distances = [0.0]
    # No gradient fits an output of the wrong shape, so that there is none to compare.
    has_gradients = student.attn_output is not None and student.attn_output.shape == probe.query.shape
    for aspect, student_rows, candidate_rows, truth in _tensors(student, candidate, reference):
        if (aspect in INPUT_NAMES and not has_gradients) or (only is not None and aspect not in only):
            continue
        floor = tolerance.tolerance.get(_FIELD_OF.get(aspect, aspect), 0.0)
        rows = None if aspect in INPUT_NAMES else probe
        distance = _distance(student_rows, candidate_rows, truth, floor, rows, partial(_exact, prediction, aspect))
        if distance is None:
            mismatched.add(aspect)
        elif aspect in _FIELD_OF:
            distances.append(distance)
    if only is not None:
        return Match(frozenset(mismatched), max(distances))
    if has_gradients and (student.gradient_failure is None) != (candidate.gradient_failure is None):
        mismatched.add("backward")
        if student.gradient_failure is None:
            # A candidate without gradients explains none of the student's.
            mismatched |= student.gradients.keys()
    for name in (*INPUT_NAMES, "keep_mask"):
        if _changed(student, probe, name) != _changed(candidate, own_probe, name):
            mismatched.add(f"{name} after")
    return Match(frozenset(mismatched), max(distances))


_FIELD_OF = {"output": "attn_output", "weights": "attn_weights"}
_Quantity = tuple[str, Tensor | None, Tensor | None, Tensor | None]


def _tensors(student: ProbeResult, candidate: ProbeResult, reference: ProbeResult) -> list[_Quantity]:
    """aspect, student's, candidate's, reference's."""
    found: list[_Quantity] = [("output", student.attn_output, candidate.attn_output, reference.attn_output)]
    if student.weights_returned and candidate.attn_weights is not None:
        found.append(("weights", student.attn_weights, candidate.attn_weights, reference.attn_weights))
    if student.gradient_failure is None and candidate.gradient_failure is None:
        for name, tensor in student.gradients.items():
            predicted = candidate.gradients.get(name)
            # Of a fused projection the part of an input without a gradient gets 0.
            is_none = predicted is None and tensor is not None and not bool(tensor.any())
            found.append((name, None if is_none else tensor, predicted, reference.gradients.get(name)))
    return found


def _exact(prediction: CandidateResult, aspect: str) -> Tensor | None:
    record = prediction.exact
    return record.gradients.get(aspect) if aspect in INPUT_NAMES else getattr(record, _FIELD_OF[aspect])


def _distance(
    student: Tensor | None,
    candidate: Tensor | None,
    reference: Tensor | None,
    floor: float,
    rows: Probe | None,
    exact: Callable[[], Tensor | None],
) -> float | None:
    """Largest difference between student and candidate; None when they are not the same within rounding."""
    if student is None or candidate is None:
        return 0.0 if student is candidate else None
    if student.shape != candidate.shape or student.dtype != candidate.dtype:
        return None
    student_rows, candidate_rows = _real_rows_in_double(student, rows), _real_rows_in_double(candidate, rows)
    difference = student_rows - candidate_rows
    finite: Tensor | None = None  # everywhere
    if not bool(difference.isfinite().all()):
        finite = student_rows.isfinite() & candidate_rows.isfinite()
        one_sided = student_rows.isfinite() != candidate_rows.isfinite()
        if float(one_sided.double().mean()) > _FINITENESS_SLACK:
            return None
        difference, candidate_rows = difference[finite], candidate_rows[finite]
    distance = float(difference.abs().max()) if difference.numel() else 0.0
    if reference is not None and reference.shape == student.shape:
        wrong = student_rows - _real_rows_in_double(reference, rows)
        if difference.numel() and _leaves_too_much(difference, wrong if finite is None else wrong[finite], floor):
            return None
    return distance if distance <= _limit(candidate, candidate_rows, floor, distance, rows, exact) else None


def _leaves_too_much(difference: Tensor, wrong: Tensor, floor: float) -> bool:
    """Whether the student is wrong, and the candidate explains too little of it."""
    explained = bool(difference.square().mean() <= UNEXPLAINED_SHARE**2 * wrong.square().mean())
    return not explained and float(wrong.abs().max()) > floor


def _limit(
    candidate: Tensor,
    candidate_rows: Tensor,
    floor: float,
    distance: float,
    rows: Probe | None,
    exact: Callable[[], Tensor | None],
) -> float:
    """Limit of the distance that rounding explains; the candidate's rounding is computed only when it decides."""
    eps = torch.finfo(candidate.dtype).eps
    size = float(candidate_rows.abs().max()) if candidate_rows.numel() else 0.0
    limit = max(floor, FLOOR_EPS * eps * max(1.0, size))
    if distance <= limit:
        return limit
    precise = exact()
    if precise is None or precise.shape != candidate.shape:
        return limit
    rounding = (_real_rows_in_double(candidate, rows) - _real_rows_in_double(precise, rows)).abs()
    rounding = rounding[rounding.isfinite()]
    return max(limit, FACTOR * float(rounding.max())) if rounding.numel() else limit


def _real_rows_in_double(tensor: Tensor, probe: Probe | None) -> Tensor:
    """The rows that count: those of real queries, wherever the axis of the queries is."""
    tensor = tensor.double()
    if probe is None:
        return tensor
    batch_size, query_len = probe.real_rows.shape
    if tensor.ndim == 4 and tensor.shape[0] == batch_size and tensor.shape[2] == query_len:
        return real_rows(tensor, probe)
    if tensor.ndim >= 2 and tensor.shape[:2] == (batch_size, query_len):
        return tensor[probe.real_rows]
    return tensor


def _changed(record: ProbeResult, probe: Probe, name: str) -> bool:
    after: Mapping[str, Tensor] = record.inputs_after
    before = probe.keep_mask if name == "keep_mask" else probe.inputs[name]
    return name in after and not (after[name].shape == before.shape and torch.equal(after[name], before))
