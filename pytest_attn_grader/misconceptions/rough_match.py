"""A quick comparison of one output with thousands of candidates: the forward pass of one probe, without gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.misconceptions.hypotheses import Hypothesis
from pytest_attn_grader.misconceptions.stages import Inputs, StagedAttention, unchanged

# Rounding that two mistakes together may amplify; the full comparison afterwards is strict.
ROUGH_TOLERANCE = 1e-3
# So many candidates are compared in one step, on every eighth column of the values.
_AT_ONCE = 256
_COLUMNS = slice(None, None, 8)
# The stages after the norm, in their order, each as correct attention has it.
_CORRECT: dict[str, Callable[..., Any]] = {
    "prepare": lambda inputs: inputs,
    "score": StagedAttention.score,
    "scale": StagedAttention.scale,
    "mask": StagedAttention.mask,
    "normalise": StagedAttention.normalise,
    "reweigh": StagedAttention.reweigh,
    "drop": StagedAttention.drop,
    "combine": StagedAttention.combine,
    "finish": unchanged,
}
_STAGES = ("norm", *_CORRECT)
_TENSORS = ("query", "key", "value", "keep_mask")

_Changes = tuple[tuple[str, Callable[..., Any]], ...]


class _State(NamedTuple):
    """A candidate between two stages: the inputs, and scores, weights or output, which there are after the score."""

    inputs: Inputs
    tensor: Tensor | None = None


class RoughMatcher:
    """The student's output of one probe, and what candidates have in common up to their second change.

    Args:
        attn_output: the student's; nothing matches None or another shape.
        probe: the inputs that the candidates get.
    """

    def __init__(self, attn_output: Tensor | None, probe: Probe) -> None:
        self._probe = probe
        self._states: dict[tuple[str, float, _Changes], _State] = {}
        self._writes: dict[Callable[..., Any], bool] = {}
        self._output = attn_output if attn_output is not None and attn_output.shape == probe.query.shape else None
        if self._output is not None:
            self._output = self._output[..., _COLUMNS]
            self._is_finite = self._output.isfinite()
            tolerance = ROUGH_TOLERANCE * self._output.abs().clamp_min(1.0)
            self._is_judged = probe.real_rows[:, None, :, None]
            self._tolerance = tolerance.masked_fill(~self._is_judged, float("inf"))

    def matching(self, hypotheses: Iterable[Hypothesis]) -> Iterator[Hypothesis]:
        """Yield those whose numbers are finite where the student's are, and roughly the same, on rows that are judged.

        What comes after a candidate's last change is correct attention, which is computed for many of them at once.
        """
        if self._output is None:
            return
        remaining = iter(hypotheses)
        while some := [*islice(remaining, _AT_ONCE)]:
            yield from self._matching(some)

    @torch.no_grad()
    def _matching(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        groups: dict[tuple[str, float, object], list[tuple[Hypothesis, _State]]] = defaultdict(list)
        for hypothesis in hypotheses:
            try:
                last, state = self._after_last_change(hypothesis)
            except Exception:  # noqa: BLE001 - two mistakes together may fail in any way
                continue
            tensors = (state.tensor, state.inputs.keep_mask, state.inputs.value)
            kinds = tuple((tensor.shape, tensor.dtype) for tensor in tensors if tensor is not None)
            groups[last, state.inputs.fill, kinds].append((hypothesis, state))
        return [found for (last, *_), group in groups.items() for found in self._same_output(last, group)]

    def _after_last_change(self, hypothesis: Hypothesis) -> tuple[str, _State]:
        """The name of the last stage that is not correct attention's (at least the score's), and the state after it."""
        stages = dict(hypothesis.change.stages)
        if hypothesis.has_zero_rows:
            stages["reweigh"] = hypothesis.pipeline.weigh
        fill = float("-inf") if hypothesis.infinite_fill else torch.finfo(self._probe.query.dtype).min
        changes = tuple((name, stages[name]) for name in _STAGES if name in stages)
        last = changes[-1][0] if changes else "score"
        state = self._before(last, fill, changes[:-1])
        # Scores are made one by one: many queries and keys at once would need more memory than they save time.
        for name in _STAGES[_STAGES.index(last) : max(_STAGES.index(last), _STAGES.index("score")) + 1]:
            state = self._run(name, stages[name] if name in stages else _CORRECT[name], state)
        return max(last, "score", key=_STAGES.index), state

    def _before(self, name: str, fill: float, changes: _Changes) -> _State:
        """The state before a stage; kept for what has one change at most."""
        key = (name, fill, changes)
        if key in self._states:
            return self._states[key]
        if changes:
            start, change = changes[-1]
            state = self._run(start, change, self._before(start, fill, changes[:-1]))
        else:
            probe = self._probe
            start = "norm"
            state = _State(Inputs(probe.query, probe.key, probe.value, probe.keep_mask, fill))
            if name != "norm":
                state = self._run("norm", StagedAttention.norm, state)
        for between in _STAGES[_STAGES.index(start) + 1 : _STAGES.index(name)]:
            state = self._run(between, _CORRECT[between], state)
        if len(changes) <= 1:
            self._states[key] = state
        return state

    def _run(self, name: str, stage: Callable[..., Any], state: _State) -> _State:
        """One stage, with copies of the inputs where it writes into them: others get the same."""
        inputs, tensor = state
        if name == "norm":
            if self._probe.preparation is None:
                return state
            query, key = stage(self._probe.preparation, inputs.query.clone(), inputs.key.clone())
            return _State(replace(inputs, query=query, key=key))
        if self._writes.get(stage, True):
            inputs = inputs.changed(Tensor.clone, _TENSORS)
        versions = [getattr(inputs, each)._version for each in _TENSORS]
        if name == "prepare":
            result = _State(stage(inputs))
        else:
            result = _State(inputs, stage(inputs) if tensor is None else stage(tensor.clone(), inputs))
        self._writes[stage] = versions != [getattr(inputs, each)._version for each in _TENSORS]
        return result

    def _same_output(self, last: str, group: list[tuple[Hypothesis, _State]]) -> list[Hypothesis]:
        """Those of a group, whose shapes and remaining stages are the same, whose output is the student's."""
        assert self._output is not None  # or there was no group
        remaining = _STAGES[_STAGES.index(last) + 1 :]
        tensors = [state.tensor for _, state in group if state.tensor is not None]
        if "combine" not in remaining:
            tensors = [tensor[..., _COLUMNS] for tensor in tensors]
        output = torch.stack(tensors)
        if output.ndim != self._output.ndim + 1:
            return []  # what has lost an axis is no attention
        inputs = replace(
            group[0][1].inputs,
            value=torch.stack([state.inputs.value[..., _COLUMNS] for _, state in group]),
            keep_mask=torch.stack([state.inputs.keep_mask for _, state in group]),
        )
        try:
            for name in remaining:
                output = _CORRECT[name](output, inputs)
        except RuntimeError:  # shapes that do not go together, the same in the whole group
            return []
        if output.shape[1:] != self._output.shape:
            return []
        difference = (output - self._output).abs()
        # NaN and infinity are not smaller than infinity: where one side is not finite, this decides nothing.
        is_far = (difference > self._tolerance) & (difference < torch.inf)
        is_far |= (output.isfinite() != self._is_finite) & self._is_judged
        return [each for (each, _), far in zip(group, is_far.flatten(1).any(1).tolist(), strict=True) if not far]
