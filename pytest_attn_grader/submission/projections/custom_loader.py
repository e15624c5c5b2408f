"""`load_projections`: a module that says itself where its projections go.

    load_projections(self, w_q, w_k, w_v, w_o, biases)

The matrices are ``(in_features, out_features)``, heads side by side in the output; biases is a tuple in the same order,
None where the model has none. It copies, and a copy ends a gradient. So it is called a few times with numbers that give
their places away, and from then on its parameters are filled without it, with the gradients that they need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.matrices import Projections
from pytest_attn_grader.submission.remote.arguments import TensorRef, TupleArgument
from pytest_attn_grader.submission.remote.messages import CallSpec, RemoteModule
from pytest_attn_grader.submission.size_names import role_of_size

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

METHOD = "load_projections"
_MATRICES, _BIASES = ("w_q", "w_k", "w_v", "w_o"), ("b_q", "b_k", "b_v", "b_o")
_PARTS = _MATRICES + _BIASES
# What float32 holds exactly; a layer of 1,800 features has as many numbers.
_MAX_NUMBERS = 1 << 24
_SAME = 1e-5


@dataclass(frozen=True)
class LoaderMap:
    """The effect of a module's loader on its parameters: parameter = kept + gain * numbers[index].

    Attributes:
        places: by parameter, the tensors kept, gain and index, all of the parameter's shape.
        takes: which of the projections arrive anywhere.
    """

    places: Mapping[str, tuple[Tensor, Tensor, Tensor]]
    takes: frozenset[str]

    def fill(self, projections: Projections) -> dict[str, Tensor]:
        """The parameters' values, differentiable with respect to the projections."""
        numbers = _flat(_parts_of(projections))
        return {
            name: kept.to(numbers) + gain.to(numbers) * numbers[index.to(numbers.device)]
            for name, (kept, gain, index) in self.places.items()
        }


Load = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


def trace_loader(load: Load, *, width: int, num_heads: int, head_dim: int, name: str) -> LoaderMap:
    """Find out where a loader puts what it is given.

    Args:
        load: calls it with tensors w_q, … b_o, and returns the module's parameters afterwards.
        name: what messages call the module.

    Raises:
        SubmissionError: `no-target`, it changes no parameter, or does something else than copying.
    """
    features = num_heads * head_dim
    shapes = [(width, features)] * 3 + [(features, width)] + [(features,)] * 3 + [(width,)]
    sizes = [int(torch.Size(shape).numel()) for shape in shapes]
    if sum(sizes) > _MAX_NUMBERS:
        raise SubmissionError(
            "no-target",
            f"{name} is {width} wide with {num_heads} heads of {head_dim}: too large to find out what {METHOD} does.",
            remedy=f"Name the projections so that {METHOD} is not needed.",
        )

    def loaded(numbers: Tensor) -> Mapping[str, Tensor]:
        pieces = torch.split(numbers.float(), sizes)
        return load({part: piece.reshape(shape) for part, piece, shape in zip(_PARTS, pieces, shapes, strict=True)})

    zeros, ones = loaded(torch.zeros(sum(sizes))), loaded(torch.ones(sum(sizes)))
    numbered = loaded(torch.arange(sum(sizes), dtype=torch.float64))
    places: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for parameter, kept in zeros.items():
        gain = ones[parameter].double() - kept.double()
        if bool(gain.any()):
            divisor = torch.where(gain == 0, 1.0, gain)
            index = ((numbered[parameter].double() - kept.double()) / divisor).round().long()
            places[parameter] = (kept, gain.float(), index.clamp(0, sum(sizes) - 1) * (gain != 0))
    if not places:
        raise SubmissionError(
            "no-target",
            f"{METHOD} of {name} was called and changed none of its parameters: "
            f"{', '.join(f'{each} {tuple(value.shape)}' for each, value in list(zeros.items())[:8]) or 'it has none'}.",
            remedy="Copy into the parameters in place: with torch.no_grad(): self.q.weight.copy_(w_q.T).",
        )
    ends = torch.tensor(sizes).cumsum(0)
    reached = torch.cat([index[gain != 0] for _, gain, index in places.values()])
    arrived = torch.bucketize(reached, ends, right=True)
    takes = frozenset(_PARTS[part] for part in range(len(_PARTS)) if bool((arrived == part).any()))
    found = LoaderMap(places, takes)
    _check_again(found, loaded, sum(sizes), name)
    return found


def _check_again(found: LoaderMap, loaded: Callable[[Tensor], Mapping[str, Tensor]], size: int, name: str) -> None:
    numbers = torch.randn(size, generator=torch.Generator().manual_seed(0))
    after = loaded(numbers)
    for parameter, (kept, gain, index) in found.places.items():
        if float((kept + gain * numbers[index] - after[parameter]).abs().max()) > _SAME:
            raise SubmissionError(
                "no-target",
                f"{METHOD} of {name} does something else than copying into {parameter}: what arrives there is no "
                "number of the matrices it was given, nor a multiple of one.",
                remedy="Copy, transpose, slice and concatenate; leave the numbers as they are.",
            )


def _parts_of(projections: Projections) -> dict[str, Tensor]:
    """The eight pieces; a missing bias is 0, a missing output projection the identity."""
    like = projections.w_q
    features, width = projections.num_heads * projections.head_dim, like.shape[0]
    w_o = projections.w_o
    if w_o is None:
        w_o = torch.eye(features, width, dtype=like.dtype, device=like.device)
    parts = {"w_o": w_o.reshape(features, -1)}
    for letter in "qkv":
        bias = getattr(projections, f"b_{letter}")
        parts[f"w_{letter}"] = getattr(projections, f"w_{letter}").flatten(1)
        parts[f"b_{letter}"] = like.new_zeros(features) if bias is None else bias.flatten()
    parts["b_o"] = like.new_zeros(width) if projections.b_o is None else projections.b_o
    return parts


def _flat(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([parts[name].flatten() for name in _PARTS])


def discover_loader(
    student: Student, target: str | int, *, width: int, num_heads: int, head_dim: int, name: str
) -> LoaderMap:
    """Trace where the module's loader puts projections of these sizes, once for every instance.

    Raises:
        SubmissionError: it raised, changes no parameter, or does something else than copying.
    """
    arguments = tuple((matrix, TensorRef(matrix)) for matrix in _MATRICES)
    biases = TupleArgument(tuple(TensorRef(bias) for bias in _BIASES))
    spec = CallSpec(target, method=METHOD, arguments=(*arguments, ("biases", biases)), dtype="float32")

    def load(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        try:
            student.remote.call(spec, tensors)
        except SubmissionError as failure:
            failure.remedy = failure.remedy or _called_with(tensors)
            raise
        values = student.remote.parameter_values(target)
        return {parameter: value for parameter, value in values.items() if value.dtype == torch.float32}

    return student.find_once(
        ("loader", student.remote.generation, target),
        lambda: trace_loader(load, width=width, num_heads=num_heads, head_dim=head_dim, name=name),
    )


def _called_with(tensors: Mapping[str, Tensor]) -> str:
    shapes = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in _MATRICES)
    biases = ", ".join(str(tuple(tensors[name].shape)) for name in _BIASES)
    return f"It was called as {METHOD}(w_q, w_k, w_v, w_o, biases) with {shapes} and biases ({biases})."


def sizes_from_attributes(module: RemoteModule) -> dict[str, int]:
    """Width, number of heads and head_dim, as far as attributes of the module hold them."""
    known = {role: size for name, size in module.sizes.items() if (role := role_of_size(name)) is not None}
    return {role: size for role, size in known.items() if role in {"width", "heads", "head_dim"} and size > 0}
