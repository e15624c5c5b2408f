"""Steps of the block that a module does inside its attention: it adds its hidden states, or normalises.

A module is asked about hidden states that are unit vectors, a different one for every token (`one_hot_projections`).
So what it adds and what it normalises is known, although no tensor of the probe holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import Probe
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations

# The usual epsilons of nn.LayerNorm, nn.RMSNorm and of those written by hand.
_EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12)
_NORMS = (None, "LayerNorm", "RMSNorm")
# A norm enlarges rounding; a step that is missing differs by far more.
_TOLERANCE = 1e-3
_NORMALISES = re.compile(r"norm|rms|mean|std|var|square|pow|\*\* ?2", re.IGNORECASE)
_PROBES = ("unpadded", "basic")


def find_block_steps(case: SubmissionObservations, *, residual: bool) -> Recognition | None:
    """The steps that explain a module's output: with the hidden states added to it, or with norms alone."""
    answer = _first_answer(case)
    if answer is None:
        return None
    name, output = answer
    probe = case.candidate_probes[name]
    if case.matches_reference(name, "output"):
        return None
    for words, expected in _candidates(probe, residual=residual):
        # All unit vectors have the same size, so that a number typed in has the effect of RMSNorm.
        if "RMSNorm" in words and case.source.is_known and not _NORMALISES.search(case.source.text):
            continue
        if _largest_error(output, expected, probe) <= _TOLERANCE * float(expected.abs().max()):
            return Recognition(case.everything(), words)
    return None


def sums_hidden_states(case: SubmissionObservations) -> bool:
    """Whether the output is the right weights times the hidden states, in a module with a single head."""
    answer = _first_answer(case)
    if answer is None:
        return False
    name, output = answer
    weights = case.references[name].attn_weights
    batch_size, _, length, width = output.shape
    if weights is None or batch_size * length > width:
        return False
    expected = weights.double() @ _unit_vectors(batch_size, length, width)
    return _largest_error(output, expected, case.probes[name]) < _TOLERANCE


def _first_answer(case: SubmissionObservations) -> tuple[str, Tensor] | None:
    """The first of the probes that was answered, and the output; None where that has not the shape of the query."""
    name = next((name for name in _PROBES if name in case.attempts and case.attempts[name].failure is None), None)
    output = None if name is None else case.attempts[name].attn_output
    if name is None or output is None or output.shape != case.probes[name].query.shape:
        return None
    return name, output


def _largest_error(output: Tensor, expected: Tensor, probe: Probe) -> float:
    """The largest difference in a real row; NaN where one is."""
    return float(torch.where(probe.real_rows[:, None, :, None], (output.double() - expected).abs(), 0.0).max())


def _unit_vectors(batch_size: int, length: int, width: int) -> Tensor:
    """The hidden states, ``(batch, 1, seq, width)``: another unit vector for every token."""
    return torch.eye(width, dtype=torch.float64)[: batch_size * length].reshape(batch_size, 1, length, width)


def _candidates(probe: Probe, *, residual: bool) -> Iterator[tuple[str, Tensor]]:
    """Outputs of modules with these steps, ``(batch, num_heads, seq, head_dim)``, and their names."""
    batch_size, num_heads, length, head_dim = probe.query.shape
    if probe.key.shape != probe.query.shape or batch_size * length > num_heads * head_dim:
        return
    # A module with several heads sees all of them side by side; one with a single head is asked head by head.
    for group in {num_heads: 0, 1: 0}:
        width = group * head_dim
        if batch_size * length > width:
            continue
        code = _unit_vectors(batch_size, length, width)
        for before, epsilon in product(_NORMS, _EPSILONS):
            if before is None and epsilon != _EPSILONS[0]:
                continue
            states = _side_by_side(_attend(probe, width, before, epsilon), group)
            states = states + code if residual else states
            for after in _NORMS:
                if not residual and before is None and after is None:
                    continue
                # A module that has two norms gives them the same epsilon.
                for of_after in _EPSILONS if before is None and after is not None else (epsilon,):
                    yield _words(before, after, residual=residual), _apart(_normed(states, after, of_after), group)


def _words(before: str | None, after: str | None, *, residual: bool) -> str:
    steps = [f"{before} on the hidden states before the projections"] if before else []
    steps += ["the hidden states are added to the output"] if residual else []
    steps += [f"{after} on the output"] if after else []
    return "these steps of the block are in it: " + ", then ".join(steps)


def _attend(probe: Probe, width: int, norm: str | None, epsilon: float) -> Tensor:
    """The right output, for hidden states that are normalised before the projections."""
    query, key, value = (_projected(tensor.double(), width, norm, epsilon) for tensor in (*probe.prepared, probe.value))
    return reference_attention(query, key, value, probe.keep_mask)[0]


def _projected(tensor: Tensor, width: int, norm: str | None, epsilon: float) -> Tensor:
    """Apply projections that hold the tensor to unit vectors that were normalised."""
    if norm is None:
        return tensor
    unit = _normed(torch.eye(1, width, dtype=torch.float64)[0], norm, epsilon)
    others = unit[1]
    return (unit[0] - others) * tensor + others * tensor.sum((0, 2), keepdim=True)


def _normed(states: Tensor, norm: str | None, epsilon: float) -> Tensor:
    if norm == "LayerNorm":
        return torch.nn.functional.layer_norm(states, states.shape[-1:], eps=epsilon)
    if norm == "RMSNorm":
        return states * (states.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    return states


def _side_by_side(states: Tensor, group: int) -> Tensor:
    """``(batch, num_heads, seq, head_dim)`` as ``(batch, num_heads / group, seq, group * head_dim)``."""
    batch_size, num_heads, length, head_dim = states.shape
    apart = states.reshape(batch_size, num_heads // group, group, length, head_dim)
    return apart.transpose(2, 3).reshape(batch_size, num_heads // group, length, group * head_dim)


def _apart(states: Tensor, group: int) -> Tensor:
    batch_size, groups, length, features = states.shape
    joined = states.reshape(batch_size, groups, length, group, features // group)
    return joined.transpose(2, 3).reshape(batch_size, groups * group, length, features // group)
