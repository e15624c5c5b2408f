"""Traces of a module's parameters through one call: those that no output depends on, and how many heads they form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.masks import MASK_SHAPES, PADDING, PER_HEAD, to_mask_convention, to_mask_shape
from pytest_attn_grader.submission.projections.projection_map import ParameterRef, ProjectionMap
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.return_values import parse_result

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

# A prime number of tokens: heads that are merged the wrong way do not fall on the same token.
_BATCH, _TOKENS = 2, 5
# A gradient of less than this share of the greatest is rounding.
_NOTHING = 1e-5
_SAME = 1e-3


def find_unused_parameters(student: Student, contract: Contract, target: str | int, width: int) -> frozenset[str]:
    """Names of the parameters that no output depends on, by the gradients of one call; none where it fails."""
    key = ("unused parameters", student.remote.generation, target)
    return student.find_once(key, lambda: _trace_unused_parameters(student, contract, target, width))


def _trace_unused_parameters(student: Student, contract: Contract, target: str | int, width: int) -> frozenset[str]:
    values = student.remote.parameter_values(target)
    leaves = {name: value.clone().requires_grad_() for name, value in values.items() if value.is_floating_point()}
    states = torch.randn(_BATCH, _TOKENS, width, generator=torch.Generator().manual_seed(0))
    try:
        with torch.enable_grad():
            output = _output_of(student, contract, target, states, leaves, PER_HEAD)
            gradients = torch.autograd.grad(output.sum(), tuple(leaves.values()), allow_unused=True)
    except (SubmissionError, RuntimeError):  # RuntimeError: the output depends on none of them
        return frozenset()
    return frozenset(name for name, gradient in zip(leaves, gradients, strict=True) if gradient is None)


def trace_number_of_heads(student: Student, contract: Contract, target: str | int, found: ProjectionMap) -> int | None:
    """The number of heads of a module that was taken for one head; None where its gradients do not show several.

    A feature of the output depends on the queries and keys of its head, and on no other's. Where heads are mixed, as by
    a softmax over them, it depends on its own head in another way than on the others.
    """
    if found.width is None or any(len(places) != 1 or len(places[0].shape) != 2 for places in found.inputs.values()):
        return None
    features = found.head_dim
    for fill, count in ((_random, _count_dependent), (_constant, _count_distinct)):
        for states, mask_shape in _ways_to_ask(found.width, contract):
            try:
                gradients = _gradients_of_two_features(student, contract, target, found, fill, states, mask_shape)
            except (SubmissionError, RuntimeError):  # RuntimeError: the output depends on no projection
                continue
            head_dim = count(found, gradients)
            if head_dim is not None and 1 < head_dim < features and features % head_dim == 0:
                return features // head_dim
            break
    return None


def _ways_to_ask(width: int, contract: Contract) -> Iterator[tuple[Tensor, str]]:
    """Hidden states with an axis of examples and without it, and every shape of a mask that is needed."""
    states = torch.randn(_BATCH, _TOKENS, width, generator=torch.Generator().manual_seed(0))
    for mask_shape in MASK_SHAPES if "mask" in contract.roles else (PER_HEAD,):
        yield states, mask_shape
    yield states[0], MASK_SHAPES[3]


def _gradients_of_two_features(
    student: Student,
    contract: Contract,
    target: str | int,
    found: ProjectionMap,
    fill: Callable[[tuple[int, ...]], Tensor],
    states: Tensor,
    mask_shape: str,
) -> list[dict[str, Tensor]]:
    """By role, gradients of the first and the last feature of the last token, without an output projection."""
    places = [place for some in found.inputs.values() for place in some]
    filled = {place.weight: fill(place.shape) for place in places}
    filled |= {place.bias: torch.zeros(_features(place)) for place in places if place.bias is not None}
    if found.output is not None:
        filled[found.output.weight] = torch.eye(*found.output.shape[-2:])
    leaves = {name: value.requires_grad_() for name, value in filled.items()}
    inputs = {role: leaves[some[0].weight] for role, some in found.inputs.items() if role != "v"}
    with torch.enable_grad():
        output = _output_of(student, contract, target, states, leaves, mask_shape)
        row = output.reshape(-1, output.shape[-1])[-1]
        return [
            dict(zip(inputs, torch.autograd.grad(row[place], tuple(inputs.values()), retain_graph=True), strict=True))
            for place in (0, min(found.head_dim, len(row)) - 1)
        ]


def _output_of(
    student: Student,
    contract: Contract,
    target: str | int,
    states: Tensor,
    leaves: Mapping[str, Tensor],
    mask_shape: str,
) -> Tensor:
    """The output on these hidden states, with these parameters and nothing masked."""
    batch_size, length = (1, *states.shape)[-3:-1]
    keep_mask = torch.ones(batch_size, 1, length, length, dtype=torch.bool)

    def mask(shape: str) -> Tensor:
        return to_mask_convention(to_mask_shape(keep_mask, shape), contract.mask_convention, states.dtype)

    sent_as = {name: f"parameter.{name}" for name in leaves}
    tensors = {"hidden_states": states, "mask": mask(mask_shape), "key_padding_mask": mask(PADDING)}
    given = dict.fromkeys(("hidden_states", "query", "key", "value"), "hidden_states")
    given |= {"mask": "mask", "key_padding_mask": "key_padding_mask"}
    needed = {each.name for each in contract.candidate.called.parameters if not each.has_default}
    keywords = tuple(
        (slot.parameter, TensorRef(given[slot.role]))
        for slot in contract.slots
        if slot.role in given and ("mask" not in slot.role or slot.parameter in needed)
    )
    spec = CallSpec(target, keywords=keywords, parameters=sent_as, grad=True, training=False)
    reply = student.call(spec, {**tensors, **{sent_as[name]: leaf for name, leaf in leaves.items()}})
    return parse_result(reply)[0]


def _features(place: ParameterRef) -> int:
    return place.shape[0] if place.kind == "Linear" else place.shape[1]


def _random(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) / math.sqrt(max(shape))


def _constant(shape: tuple[int, ...]) -> Tensor:
    """All features the same, so that only the arrangement of the heads tells one from another."""
    return torch.ones(shape) / math.sqrt(max(shape))


def _count_dependent(_: ProjectionMap, gradients: Sequence[dict[str, Tensor]]) -> int | None:
    """The number of features of a head, where the two features of the output depend on different ones."""
    counts = []
    for role, (first, last) in _by_role(gradients):
        used, used_by_last = first != 0, last != 0
        # Along the other axis are all features of the hidden states.
        number, number_of_last = (min(int(each.any(dim).sum()) for dim in (0, 1)) for each in (used, used_by_last))
        if number == number_of_last > 0 and not bool((used & used_by_last).any()):
            counts.append(number // 2 if role == "qkv" else number)  # of query and key, and one of the value
    return max(counts, default=None)


def _count_distinct(found: ProjectionMap, gradients: Sequence[dict[str, Tensor]]) -> int | None:
    """The number of features of a head, where queries and keys show two groups of features and both matter."""
    for role, (gradient, _) in _by_role(gradients):
        by_feature = gradient.sum(1 if found.inputs[role][0].kind == "Linear" else 0)
        sizes = _group_sizes(by_feature / by_feature.abs().max())
        is_zero = bool((by_feature.abs() <= _NOTHING * by_feature.abs().max()).any())
        if role in {"q", "k"} and len(sizes) == 2 and not is_zero:
            return min(sizes)
        # The value adds the feature itself and the features that do not matter.
        if role == "qkv" and len(several := [size for size in sizes if size > 1]) == 5:
            return min(several)
    return None


def _by_role(gradients: Sequence[dict[str, Tensor]]) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Of query and key, or of all in one."""
    first, last = gradients
    yield from ((role, (first[role], last[role])) for role in ("q", "k", "qkv") if role in first)


def _group_sizes(values: Tensor) -> list[int]:
    """The sizes of groups of values that are the same within rounding."""
    ordered = values.sort().values
    starts = [0, *((ordered.diff() > _SAME).nonzero().flatten() + 1).tolist(), len(ordered)]
    return [end - start for start, end in pairwise(starts)]
