"""The evidence when no known mistake fits: what is right, what is wrong, and from which probe on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES, Probe, max_abs_error
from pytest_attn_grader.misconceptions.catalogue.results import SHORT_DTYPES, name_returned_tensor
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.weight_evidence import describe_weights, list_indices

_MOST = 0.5
_REVERSES_AXES = re.compile(r"\.T\b")
_SQUEEZES_ALL = re.compile(r"\.squeeze\(\)|\bsqueeze\(\w+\)")


def describe_evidence(case: SubmissionObservations) -> list[str]:
    """Sentences, the most useful first; at most five."""
    return list(_sentences(case))[:5]


def _sentences(case: SubmissionObservations) -> Iterator[str]:
    yield from _failures(case)
    wrong = [name for name in case.eval_probes() if case.attempts[name].failure is None and not _right(case, name)]
    if not wrong:
        yield from _beside_the_output(case)
        return
    if all(case.matches_reference(name, "output") for name in wrong):
        yield from _returned_weights(case, wrong[0])
        return
    name = "basic" if "basic" in wrong else wrong[0]
    yield from _changed_inputs(case, name)
    yield from _shapes(case, name)
    unused = [each for each, gradient in case.attempts[name].gradients.items() if gradient is None]
    if len(unused) == len(INPUT_NAMES):
        yield "no gradient reaches query, key and value: the output is not made of them"
    about_weights = [*describe_weights(case, name)]
    yield from about_weights
    yield from _parts(case, name)
    yield from _random(case)
    if 0 < len(unused) < len(INPUT_NAMES):
        them = "it" if len(unused) == 1 else "them"
        yield f"no gradient reaches {' and '.join(unused)}: the output is not made of {them}"
    # A short dtype has a tolerance that hides small errors.
    right = [other for other in case.eval_probes() if _right(case, other) and other not in SHORT_DTYPES]
    if not about_weights and all(case.probes[other].query.shape[-2] == 1 for other in right):
        yield from _rotation(case)
    if right == ["one-token"]:
        yield (
            "it is right with one token, whose weight is 1 whatever its score is, and "
            f"wrong with {case.probes[name].title}{_by_how_much(case, name)}"
        )
    elif right:
        right = [other for other in right if other != "one-token"]
        if {len(case.probes[other].query) for other in right} == {1} and min(
            len(case.probes[other].query) for other in wrong
        ) > 1:
            yield "it is right with one example, wrong with several: look where they are mixed, or share a mask"
        titles = ", ".join(case.probes[other].title for other in right[:2])
        yield f"it is right with {titles}, first wrong with {case.probes[name].title}{_by_how_much(case, name)}"
    else:
        yield f"wrong from the first probe on ({case.probes[name].title}){_by_how_much(case, name)}"


def _parts(case: SubmissionObservations, name: str) -> Iterator[str]:
    """Name the heads, examples or queries that are right, where only some are."""
    output, exact, probe = case.attempts[name].attn_output, case.references[name].attn_output, case.probes[name]
    if output is None or exact is None or output.shape != exact.shape:
        return
    error = (output.double() - exact.double()).abs().nan_to_num(float("inf"), float("inf"))
    error = torch.where(probe.real_rows[:, None, :, None], error, 0.0)
    tolerance = case.tolerances[name].tolerance["attn_output"]
    wrong_examples = error.amax((1, 2, 3)) > tolerance
    for part, axes in (("head", (0, 2, 3)), ("example", (1, 2, 3)), ("query", (0, 1, 3))):
        # Queries that are padding wherever something is wrong say nothing.
        judged = error if part == "example" else error[wrong_examples]
        rows = probe.real_rows if part == "example" else probe.real_rows[wrong_examples]
        judged, rows = judged[:, :, rows.any(0)], rows[:, rows.any(0)]
        wrong = judged.amax(axes) > tolerance
        if not bool(wrong.any()) or bool(wrong.all()) or _is_scattered(judged > tolerance, rows, axes, wrong):
            continue
        right = (~wrong).nonzero().flatten()
        if part == "query":
            right = probe.real_rows[wrong_examples].any(0).nonzero().flatten()[right]
        indices = right.tolist()
        if part == "query" and all(_has_one_key(probe, query) for query in indices):
            # Its weight is 1 whatever the scores are.
            continue
        noun = part if len(indices) == 1 else {"query": "queries"}.get(part, f"{part}s")
        yield f"{noun} {list_indices(indices)} {'is' if len(indices) == 1 else 'are'} right, the others are not"


def _is_scattered(wrong: Tensor, rows: Tensor, axes: tuple[int, ...], parts: Tensor) -> bool:
    """Whether less than half of the real rows of the wrong parts are wrong: they are right or wrong by chance."""
    by_row = wrong.any(-1)  # (batch, num_heads, query_len)
    real = rows[:, None].expand_as(by_row)
    others = tuple(axis for axis in axes if axis != 3)
    share = (by_row & real).sum(others) / real.sum(others).clamp_min(1)
    return bool((share[parts] < _MOST).all())


def _has_one_key(probe: Probe, query: int) -> bool:
    """Whether a query may attend to a single key, in every example in which it is no padding."""
    rows = probe.real_rows[:, query]
    kept = probe.keep_mask.expand(-1, 1, probe.query.shape[-2], -1)[rows, 0, query]
    return bool((kept.sum(-1) == 1).all())


def _returned_weights(case: SubmissionObservations, name: str) -> Iterator[str]:
    """The output is right everywhere: say what is returned beside it, in the place of the weights."""
    returned, exact, probe = case.attempts[name].attn_weights, case.references[name].attn_weights, case.probes[name]
    yield "the output is right; what is returned beside it is not the weights that it is made of"
    if returned is None or exact is None:
        return
    if returned.shape != exact.shape:
        averaged = exact.mean(1)
        same = returned.shape == averaged.shape and torch.allclose(returned.double(), averaged, atol=1e-4)
        what = ": they are averaged over the heads" if same else ""
        yield f"it has the shape {tuple(returned.shape)} instead of {tuple(exact.shape)}{what}"
        return
    if (known := name_returned_tensor(returned, exact, probe)) is not None:
        yield f"it is {known}"


def _random(case: SubmissionObservations) -> Iterator[str]:
    """Say that two equal calls differ."""
    first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
    if first is None or again is None or first.failure is not None or again.failure is not None:
        return
    if not case.equal(first, again):
        what = ", and the file draws random numbers" if case.source.draws_random_numbers() else ""
        yield f"two equal calls outside of training give different answers{what}"


def _rotation(case: SubmissionObservations) -> Iterator[str]:
    """Name the rotation as a suspect, where the file rotates and later tokens are wrong."""
    if case.is_rotary and case.source.rotates():
        yield (
            "the file rotates query and key by their positions: look at the angles, at the pairs of dimensions that "
            "they turn, at the axis of the positions, and at the views before"
        )


def _failures(case: SubmissionObservations) -> Iterator[str]:
    failed = _unanswered(case)
    if not failed:
        return
    failure = case.attempts[failed[0]].failure
    message = "" if failure is None else failure.message.partition("\n")[0].rstrip(".")
    where = "every probe" if len(failed) == len(case.attempts) else f"{len(failed)} of {len(case.attempts)} probes"
    line = case.failing_line(failed[0])
    at_line = f", at the line `{line}`" if line else ""
    yield f"no answer on {where}, first with {case.probes[failed[0]].title}: {message}{at_line}"
    if _REVERSES_AXES.search(line):
        yield (
            ".T turns all four axes of (batch, num_heads, seq, head_dim) around; transpose(-2, -1) swaps the last two"
        )
    if 1 in case.probes[failed[0]].query.shape and _SQUEEZES_ALL.search(case.source.text):
        yield "squeeze() without an axis removes every axis of size 1: that of one token or one example, too"
    if case.source.imports("numpy") and not case.source.imports("torch"):
        yield "it computes with numpy; query, key and value are torch tensors with gradients, so use torch's functions"


def _unanswered(case: SubmissionObservations) -> list[str]:
    return [name for name, record in case.attempts.items() if record.failure is not None and name != "float16"]


def _right(case: SubmissionObservations, name: str) -> bool:
    record = case.attempts[name]
    if record.failure is not None or not case.matches_reference(name, "output"):
        return False
    return not record.weights_returned or case.matches_reference(name, "weights")


def _by_how_much(case: SubmissionObservations, name: str) -> str:
    output, reference = case.attempts[name].attn_output, case.references[name].attn_output
    if output is None or reference is None or output.shape != reference.shape:
        return ""
    error = max_abs_error(output, reference, case.probes[name])
    return f", by up to {error:.3g}" if math.isfinite(error) else ", with NaN or infinity"


def _shapes(case: SubmissionObservations, name: str) -> Iterator[str]:
    output, probe = case.attempts[name].attn_output, case.probes[name]
    if output is not None and output.dtype != probe.query.dtype:
        yield f"the output is {output.dtype}, and query, key and value are {probe.query.dtype}"
    if output is None or output.shape == probe.query.shape:
        return
    weights_shape = (*probe.query.shape[:-1], probe.key.shape[-2])
    if output.shape == weights_shape:
        yield f"the first value that is returned has the shape of the weights, {weights_shape}; return the output first"
    yield f"the output has the shape {tuple(output.shape)} instead of {tuple(probe.query.shape)}"
    exact = case.references[name].attn_output
    if exact is None:
        return
    as_tokens = exact.transpose(1, 2)  # (batch, query_len, num_heads, head_dim)
    for what, expected in (
        ("transposed to (batch, seq, heads, head_dim)", as_tokens),
        ("with merged heads", as_tokens.flatten(2)),
    ):
        if output.shape == expected.shape:
            rows = probe.real_rows
            if float((output.double()[rows] - expected[rows]).abs().max()) < 1e-3:
                yield f"its numbers are right, but {what}"


def _changed_inputs(case: SubmissionObservations, name: str) -> Iterator[str]:
    """Name the tensors of the caller that a call changes: what is computed from them afterwards is wrong, too."""
    record = case.attempts[name]
    before = {
        each: (tensor, record.inputs_after.get(each, tensor)) for each, tensor in case.probes[name].inputs.items()
    }
    if changed := [*record.changed, *(each for each, pair in before.items() if not torch.equal(*pair))]:
        yield f"the call changes tensors of its caller ({', '.join(changed)}), and every later step takes them changed"


def _common_factor(tensor: Tensor, exact: Tensor) -> float | None:
    """The number that one tensor is a multiple of the other by; None when it is none."""
    factor = float((tensor * exact).sum() / exact.square().sum())
    error = float((tensor - factor * exact).abs().max())
    return factor if error < 1e-3 * float(tensor.abs().max()) else None


def _beside_the_output(case: SubmissionObservations) -> Iterator[str]:
    """Output and weights are right everywhere: gradients, inputs, training."""
    for name in case.eval_probes():
        record, probe = case.attempts[name], case.probes[name]
        if record.gradient_failure is not None:
            yield f"the backward pass fails with {probe.title}: {record.gradient_failure.message.partition(chr(10))[0]}"
            return
        given = record.gradients.items()
        missing = [each for each, gradient in given if gradient is None or not bool(gradient.any())]
        if missing and probe.query.shape[-2] > 1:
            yield f"output and weights are right, but no gradient reaches {' and '.join(missing)}"
            return
        for each, gradient in record.gradients.items():
            exact = case.references[name].gradients.get(each)
            if gradient is None or exact is None or gradient.shape != exact.shape:
                continue
            error = float((gradient.double() - exact.double()).abs().nan_to_num(float("inf")).max())
            if error > case.tolerances[name].tolerance.get(each, 0.0):
                yield f"output and weights are right, but the gradient of {each} is off by up to {error:.3g}"
                if "def backward" in case.source.text:
                    yield "the file computes gradients itself, in backward: compare each line of it with the formula"
                factor = _common_factor(gradient.double(), exact.double())
                if factor is not None:
                    yield f"it is {factor:.4g} times as large as it should be"
                return
    unanswered = {*_unanswered(case)} & {*case.eval_probes()}
    if not unanswered and case.train_probes():
        yield "right in every probe outside of training; look at what happens in training"
