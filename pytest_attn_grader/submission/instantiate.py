"""The instance to call: a class constructed at the wanted sizes, or an object with fixed sizes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.constructor import Sizes, arguments_for
from pytest_attn_grader.submission.constructor_roles import SIZE_ROLES, is_resizable, roles_of, splits_heads
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.parameter_traces import find_unused_parameters, trace_number_of_heads
from pytest_attn_grader.submission.projections.custom_loader import discover_loader, sizes_from_attributes
from pytest_attn_grader.submission.projections.find import find_projections
from pytest_attn_grader.submission.projections.projection_map import ARGUMENT, ParameterRef, ProjectionMap
from pytest_attn_grader.submission.projections.role_patterns import packing_order
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.signatures import Slot
from pytest_attn_grader.submission.size_names import role_of_size

# The heads of most models share one of these.
_WIDTHS_OF_MODELS = (256, 768, 640)
# Of heads that are wider than their share.
_WIDE_HEADS, _MAX_NUMBERS = 3, 1 << 21
_WIDEST = 4096
_TRACE = "trace"
_SIZES_IN_FEATURES = frozenset({"width", "out", "head_dim", "config"})

if TYPE_CHECKING:
    from pytest_attn_grader.submission.remote.messages import Candidate, RemoteModule
    from pytest_attn_grader.submission.student import Student


def shape_of_function(contract: Contract, sizes: Sizes, *, heads_apart: bool) -> ProjectionMap:
    """The sizes of a function. It has several heads with ``num_heads`` or with an axis for heads.

    With ``num_heads`` the width of one head is often that of the hidden states divided by it, so that these are as wide
    as the heads side by side. Any other function takes any width.
    """
    has_several = "num_heads" in contract.roles
    found = found_in_arguments(contract.slots, sizes.num_heads if has_several or heads_apart else 1, sizes.head_dim)
    return replace(found, target=contract.candidate.name, width=sizes.width if has_several else None)


def shape_of_module(student: Student, contract: Contract, sizes: Sizes, *, use: str = "") -> ProjectionMap:
    """A module of these sizes; one that has its own comes as it is.

    Args:
        use: see `Student.construct`.

    Raises:
        SubmissionError: it cannot be constructed, or its projections are not found.
    """
    candidate = contract.candidate
    num_heads: int | None = None
    if is_resizable(candidate):
        num_heads = sizes.num_heads if splits_heads(candidate) else 1
        sizes = replace(_at_fitting_width(student, contract, sizes), num_heads=num_heads)
    if candidate.kind == "module-instance":
        target: str | int = candidate.name
    else:
        made = student.construct(candidate.name, arguments_for(candidate, sizes), use=use)
        target = made.handle
        read = {role_of_size(name) for name in made.config_read}
        if made.config_read and "heads" not in read:
            num_heads = None
    module = student.module(target, _warm_up(contract, sizes))
    if module.has_loader:
        return _shape_with_loader(student, contract, target, module, sizes, num_heads)
    has_heads_of_a_size = num_heads is not None and roles_of(candidate) & _SIZES_IN_FEATURES == {"head_dim"}
    find = functools.partial(
        find_projections,
        module,
        candidate.name,
        find_unused=lambda: find_unused_parameters(student, contract, target, sizes.width),
    )
    try:
        found = find(num_heads=num_heads, num_key_value_heads=sizes.num_key_value_heads)
    except SubmissionError:
        if not has_heads_of_a_size or (found := find(num_heads=1)).width == sizes.width:
            raise
    if found.num_heads == 1 and (num_heads is None or not splits_heads(candidate)):
        is_one = _takes_only_a_width(candidate) and _several_heads(student, contract, sizes) is None
        found = found if is_one else found.with_heads(_trace_heads(student, contract, sizes, found) or 1)
    width = found.width or sizes.width
    if width != sizes.width and has_heads_of_a_size:
        # (num_heads, head_size), and the width is a constant of the file: then the heads share it.
        narrow = replace(sizes, width=width, num_heads=2, head_dim=width // 2, num_key_value_heads=None)
        return shape_of_module(student, contract, narrow, use=use)
    if "width" in roles_of(candidate):
        _require_own_matrix(found, candidate.name, sizes)
    if found.out_features < min(found.num_heads * found.head_dim, width):
        raise SubmissionError(
            "no-target",
            f"{candidate.name} takes hidden states of {width} features, and its output projection has only "
            f"{found.out_features}.",
            remedy="Return hidden states of the width that came in: project to as many features.",
        )
    numbers = width * found.num_heads * found.head_dim
    if num_heads is not None and num_heads > _WIDE_HEADS and found.out_features * width < numbers > _MAX_NUMBERS:
        # Heads as wide as a large model: the calls for all of them would need more memory than a worker has.
        return shape_of_module(student, contract, replace(sizes, num_heads=_WIDE_HEADS), use=use)
    return replace(found, target=target)


def _takes_only_a_width(candidate: Candidate) -> bool:
    roles = roles_of(candidate) & SIZE_ROLES
    return "width" in roles and not roles & {"heads", "head_dim", "config"}


def _at_fitting_width(student: Student, contract: Contract, sizes: Sizes) -> Sizes:
    """The sizes at a width that suits a module whose constructor takes a width and no heads, and which has several.

    Its number of heads or their head_dim may be typed in. A multiple of a width at which it answers suits both.
    """
    if not _takes_only_a_width(contract.candidate) or (known := _several_heads(student, contract, sizes)) is None:
        return sizes
    width, num_heads = known
    if (width,) == _width_of_attributes(student, contract, sizes):
        return replace(sizes, width=width)
    return replace(sizes, width=math.ceil(max(sizes.width, num_heads * sizes.head_dim) / width) * width)


def _several_heads(student: Student, contract: Contract, sizes: Sizes) -> tuple[int, int] | None:
    """A width at which a class that takes no heads forms several, and how many; None where it forms one."""

    def find() -> tuple[int, int] | None:
        for width in (*_width_of_attributes(student, contract, sizes), *_WIDTHS_OF_MODELS):
            num_heads = _heads_at(student, contract, replace(sizes, width=width))
            if num_heads is not None:
                return width, num_heads
        return None

    return student.find_once(("width", contract.candidate.name), find)


def _width_of_attributes(student: Student, contract: Contract, sizes: Sizes) -> tuple[int, ...]:
    """The width that a number of heads and their head_dim make, where both are attributes that no argument sets."""
    try:
        made = student.construct(contract.candidate.name, arguments_for(contract.candidate, sizes), use=_TRACE)
        known = {role_of_size(name): size for name, size in student.module(made.handle).sizes.items()}
    except SubmissionError:
        return ()
    width = known.get("heads", 0) * known.get("head_dim", 0)
    return (width,) if 0 < width <= _WIDEST and width != sizes.width else ()


def _heads_at(student: Student, contract: Contract, sizes: Sizes) -> int | None:
    sizes = replace(sizes, num_heads=1, dropout_p=0.0)
    name = contract.candidate.name
    try:
        made = student.construct(name, arguments_for(contract.candidate, sizes), use=_TRACE)
        found = find_projections(student.module(made.handle), name, num_heads=1)
    except SubmissionError:  # another width may suit it; the checks meet the failure at the usual sizes
        return None
    return _trace_heads(student, contract, sizes, found) if found.num_heads == 1 else None


def _trace_heads(student: Student, contract: Contract, sizes: Sizes, found: ProjectionMap) -> int | None:
    """The number of heads that no argument and no attribute says, traced once for these arguments; None for one."""
    candidate = contract.candidate
    arguments = None if candidate.kind == "module-instance" else arguments_for(candidate, sizes)

    def find() -> int | None:
        # Another instance: a module may keep tables, in the dtype of its first call, or a cache.
        made = None if arguments is None else student.construct(candidate.name, arguments, use=_TRACE)
        target = candidate.name if made is None else made.handle
        return trace_number_of_heads(student, contract, target, found)

    return student.find_once(("heads", candidate.name, arguments and arguments.key), find)


def _require_own_matrix(found: ProjectionMap, name: str, sizes: Sizes) -> None:
    """Refuse one matrix for all heads: a model's layer has one for each, and there is no place for them."""
    if sizes.num_heads > 1 and found.width == sizes.head_dim == found.num_heads * found.head_dim:
        raise SubmissionError(
            "no-target",
            f"{name} splits the hidden states into {sizes.num_heads} heads first, and then all heads share one matrix "
            f"of {found.width} x {found.width}. In a transformer every head projects the whole hidden states.",
            remedy=f"Project first, here with nn.Linear({sizes.width}, {sizes.width}), and split into heads then.",
        )


def _shape_with_loader(
    student: Student, contract: Contract, target: str | int, module: RemoteModule, sizes: Sizes, num_heads: int | None
) -> ProjectionMap:
    """The sizes it was constructed with, or those in the attributes of a module with fixed sizes."""
    candidate = contract.candidate
    width, heads, head_dim = sizes.width, num_heads or 1, sizes.head_dim
    if not is_resizable(candidate):
        known = sizes_from_attributes(module)
        heads = known.get("heads", 1)
        head_dim = known.get("head_dim", known.get("width", 64) // heads)
        width = known.get("width", heads * head_dim)
    loading = discover_loader(student, target, width=width, num_heads=heads, head_dim=head_dim, name=candidate.name)
    out_features = width if "w_o" in loading.takes else heads * head_dim
    return ProjectionMap({}, None, heads, head_dim, width, out_features, target=target, loading=loading)


def _warm_up(contract: Contract, sizes: Sizes) -> tuple[CallSpec, dict[str, Tensor]]:
    """A call that lets lazy layers find their sizes."""
    tensors = {"hidden_states": torch.zeros(1, 1, sizes.width), "valid_lens": torch.ones(1, dtype=torch.long)}
    hidden = TensorRef("hidden_states")
    given = dict.fromkeys(("hidden_states", "query", "key", "value"), hidden) | {"valid_lens": TensorRef("valid_lens")}
    arguments = tuple((slot.parameter, given[slot.role]) for slot in contract.slots if slot.role in given)
    return CallSpec("", keywords=arguments), tensors


def found_in_arguments(slots: Sequence[Slot], num_heads: int, head_dim: int) -> ProjectionMap:
    """The parameters of a function that takes its projections as arguments. It takes any sizes, so these are passed."""
    by_role = {slot.role: slot.parameter for slot in slots}

    def place(letters: str) -> ParameterRef:
        return ParameterRef(by_role[f"w_{letters}"], (), ARGUMENT, by_role.get(f"b_{letters}"))

    roles = ("qkv",) if "w_qkv" in by_role else ("q", "k", "v")
    return ProjectionMap(
        inputs={role: (place(role),) for role in roles},
        output=place("o") if "w_o" in by_role else None,
        num_heads=num_heads,
        head_dim=head_dim,
        width=None,
        out_features=num_heads * head_dim,
        letters=packing_order(by_role["w_qkv"]) if "w_qkv" in by_role else None,
    )
