"""A submission's `load_projections`, called in its worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.custom_loader import METHOD, LoaderMap, trace_loader
from pytest_attn_grader.submission.remote.arguments import TensorRef, TupleArgument
from pytest_attn_grader.submission.remote.messages import CallSpec, RemoteModule
from pytest_attn_grader.submission.size_names import role_of_size

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

_MATRICES, _BIASES = ("w_q", "w_k", "w_v", "w_o"), ("b_q", "b_k", "b_v", "b_o")


def discover_loader(
    student: Student, target: str | int, *, width: int, num_heads: int, head_dim: int, name: str
) -> LoaderMap:
    """Trace where the module's loader puts projections of these sizes, once for every instance.

    Raises:
        SubmissionError: it raised, changes no parameter, or does something else than copying.
    """
    key = (student.remote.generation, target)
    if key not in student.traces.loaders:
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

        student.traces.loaders[key] = trace_loader(load, width=width, num_heads=num_heads, head_dim=head_dim, name=name)
    return student.traces.loaders[key]


def _called_with(tensors: Mapping[str, Tensor]) -> str:
    shapes = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in _MATRICES)
    biases = ", ".join(str(tuple(tensors[name].shape)) for name in _BIASES)
    return f"It was called as {METHOD}(w_q, w_k, w_v, w_o, biases) with {shapes} and biases ({biases})."


def sizes_from_attributes(module: RemoteModule) -> dict[str, int]:
    """Width, number of heads and head_dim, as far as attributes of the module hold them."""
    known = {role: size for name, size in module.sizes.items() if (role := role_of_size(name)) is not None}
    return {role: size for role, size in known.items() if role in {"width", "heads", "head_dim"} and size > 0}
