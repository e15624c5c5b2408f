"""A quick comparison of one output with thousands of candidates: the forward pass of one probe, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.misconceptions.stages import Inputs, StagedAttention

# Rounding that two mistakes together may amplify; the full comparison afterwards is strict.
ROUGH_TOLERANCE = 1e-3

_Prefix = tuple[Callable[..., Any] | bool, ...]


class RoughMatcher:
    """The student's output of one probe, and the scores and weights that candidates have in common.

    Args:
        attn_output: the student's; nothing matches None or another shape.
        probe: the inputs that the candidates get.
    """

    def __init__(self, attn_output: Tensor | None, probe: Probe) -> None:
        self._probe = probe
        self._scores: dict[_Prefix, Tensor] = {}
        self._weights: dict[_Prefix, Tensor] = {}
        self._output = attn_output if attn_output is not None and attn_output.shape == probe.query.shape else None
        if self._output is not None:
            self._is_finite = self._output.isfinite()
            tolerance = ROUGH_TOLERANCE * self._output.abs().clamp_min(1.0)
            self._is_judged = probe.real_rows[:, None, :, None]
            self._tolerance = tolerance.masked_fill(~self._is_judged, float("inf"))

    @torch.no_grad()
    def is_match(self, attention: StagedAttention) -> bool:
        """Whether the same numbers are finite and roughly the same, on rows that are judged."""
        if self._output is None:
            return False
        try:
            output = self._forward(attention)
        except Exception:  # noqa: BLE001 - two mistakes together may fail in any way
            return False
        if output.shape != self._output.shape:
            return False
        difference = (output - self._output).abs()
        # NaN and infinity are not smaller than infinity: where one side is not finite, this decides nothing.
        if bool(((difference > self._tolerance) & (difference < torch.inf)).any()):
            return False
        return not bool(((output.isfinite() != self._is_finite) & self._is_judged).any())

    def _forward(self, attention: StagedAttention) -> Tensor:
        """The output; scores and weights of the same stages are computed once.

        A stage may write into what it gets, so that every candidate gets copies.
        """
        probe = self._probe
        fill = float("-inf") if attention.infinite_fill else torch.finfo(probe.query.dtype).min
        query, key = probe.query.clone(), probe.key.clone()
        if probe.preparation is not None:
            query, key = attention.norm(probe.preparation, query, key)
        inputs = Inputs(query, key, probe.value.clone(), probe.keep_mask.clone(), fill)
        for prepare in attention.prepare:
            inputs = prepare(inputs)
        for_scores: _Prefix = (attention.norm, *attention.prepare, attention.score, attention.scale)
        for_weights: _Prefix = (*for_scores, attention.mask, attention.normalise, attention.infinite_fill)
        if for_weights not in self._weights:
            if for_scores not in self._scores:
                self._scores[for_scores] = attention.scale(attention.score(inputs), inputs)
            scores = attention.mask(self._scores[for_scores].clone(), inputs)
            self._weights[for_weights] = attention.normalise(scores, inputs)
        weights = attention.weigh(self._weights[for_weights].clone(), inputs)
        output = attention.combine(attention.drop(weights, inputs), inputs)
        for finish in attention.finish:
            output = finish(output, inputs)
        return output
