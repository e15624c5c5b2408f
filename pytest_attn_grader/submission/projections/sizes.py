"""The sizes of projections: heads and their dimensions, read off the shapes of the matrices."""

from __future__ import annotations

import math

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.projection_map import ParameterRef, ProjectionMap

# The grader makes matrices of these sizes for itself.
_MAX_FEATURES, _MAX_NUMBERS = 1 << 16, 1 << 26


def resolve_sizes(
    by_role: dict[str, list[ParameterRef]], name: str, heads: int | None, key_value_heads: int | None
) -> ProjectionMap:
    """Read number of heads and sizes off the shapes."""
    for place in (place for places in by_role.values() for place in places):
        if not all(0 < size <= _MAX_FEATURES for size in place.shape) or math.prod(place.shape) > _MAX_NUMBERS:
            raise _unfit(name, f"has {place.weight} of shape {place.shape}", "Give it a size that a model has.")
    inputs = {role: tuple(places) for role, places in by_role.items() if role != "o"}
    if "qkv" in inputs:
        inputs = {"qkv": inputs["qkv"]}
    elif "kv" in inputs:
        inputs = {"q": inputs["q"], "kv": inputs["kv"]}
    counts = {len(places) for places in inputs.values()}
    if len(counts) != 1:
        listed = ", ".join(f"{len(places)} for {role}" for role, places in inputs.items())
        raise _unfit(name, f"has an unequal number of projections: {listed}", "Give every head one of each.")
    per_head = counts.pop()
    outputs = by_role.get("o", [])
    output = outputs[0] if len(outputs) == 1 else next((place for place in outputs if "out" in place.weight), None)
    first_role, (first, *_) = next(iter(inputs.items()))
    matrices = 3 if first_role == "qkv" else 1
    if heads and key_value_heads not in {None, heads} and per_head == 1 and len(first.shape) == 2:
        return _resolve_grouped(inputs, output, name, heads, key_value_heads or heads)
    if len(first.shape) == 3:
        heads = heads if heads in first.shape else first.shape[0]
        rest = list(first.shape)
        rest.remove(heads)
        # (heads, in, head_dim) in any order: the width is the larger one.
        width, head_dim = max(rest), min(rest) // matrices
        return ProjectionMap(inputs, output, heads, head_dim, width, _out_features(output, heads * head_dim))
    if heads and per_head == 1:
        _require_a_number_of_groups(inputs, output, name, heads)
    features, width = _features(first, matrices)
    if per_head > 1:
        heads = per_head
        head_dim = features
    else:
        heads = heads or 1
        head_dim, rest_of_it = divmod(features, heads)
        if rest_of_it:
            raise _unfit(
                name,
                f"projects to {features} features ({first.weight} is {first.shape}), which {heads} heads cannot share",
                "Make the width a multiple of the number of heads.",
            )
    _check_same(inputs, first_role, name, heads * head_dim // per_head, width)
    return ProjectionMap(inputs, output, heads, head_dim, width, _out_features(output, heads * head_dim))


def _resolve_grouped(
    inputs: dict[str, tuple[ParameterRef, ...]],
    output: ParameterRef | None,
    name: str,
    heads: int,
    key_value_heads: int,
) -> ProjectionMap:
    """The sizes where fewer keys and values than queries are projected; the matrices are two-dimensional."""
    # Not the first one that the module defines: that may be the key.
    role = "q" if "q" in inputs else next(iter(inputs))
    first = inputs[role][0]
    parts = heads + 2 * key_value_heads if role == "qkv" else heads
    features, width = _features(first, 1)
    head_dim, rest_of_it = divmod(features, parts)
    if rest_of_it:
        raise _unfit(
            name,
            f"projects to {features} features ({first.weight} is {first.shape}), which {heads} query heads and "
            f"{key_value_heads} key/value heads cannot share",
            "Project to (num_heads + 2 * num_kv_heads) * head_dim features.",
        )
    wanted = {"k": key_value_heads, "v": key_value_heads, "kv": 2 * key_value_heads}
    for other, (place, *_) in inputs.items():
        if other in wanted and sorted(place.shape) != sorted((wanted[other] * head_dim, width)):
            raise _unfit(
                name,
                f"has {place.weight} of shape {place.shape}, where {(wanted[other] * head_dim, width)} would fit "
                f"{key_value_heads} key/value heads",
                "Project keys and values to num_kv_heads * head_dim features.",
            )
    out = _out_features(output, heads * head_dim)
    return ProjectionMap(inputs, output, heads, head_dim, width, out, num_key_value_heads=key_value_heads)


def _features(place: ParameterRef, matrices: int) -> tuple[int, int]:
    """Output features of one projection, and input features."""
    rows, columns = place.shape
    if place.kind == "Linear":
        return rows // matrices, columns
    if place.kind == "Conv1D" or columns >= rows or matrices == 1:
        return columns // matrices, rows
    return rows // matrices, columns


def _check_same(
    inputs: dict[str, tuple[ParameterRef, ...]], first_role: str, name: str, features: int, width: int
) -> None:
    for role, places in inputs.items():
        matrices = {"qkv": 3, "kv": 2}.get(role, 1)
        for place in places:
            if sorted(place.shape) != sorted((features * matrices, width)):
                raise _unfit(
                    name,
                    f"has {place.weight} of shape {place.shape}, where {(features * matrices, width)} would fit the "
                    f"others ({inputs[first_role][0].weight})",
                    "Query, key and value need projections of the same sizes, or keys and values "
                    "num_kv_heads * head_dim features, with num_kv_heads an argument.",
                )


def _require_a_number_of_groups(
    inputs: dict[str, tuple[ParameterRef, ...]], output: ParameterRef | None, name: str, heads: int
) -> None:
    """Refuse a fixed number of key/value heads, which fits no other number: it has to be an argument."""
    first_role = "q" if "q" in inputs else "qkv"
    if first_role not in inputs or len(inputs[first_role][0].shape) != 2:
        return
    first = inputs[first_role][0]
    features, width = _features(first, 1)
    if first_role == "qkv":
        # The query has as many features as the output projection takes; a key and a value share the rest.
        if output is None or len(output.shape) != 2:
            return
        query_features = _features(output, 1)[1]
        shared = {"qkv": (features - query_features, 2)}
    else:
        query_features = features
        others = {role: places[0] for role, places in inputs.items() if role in {"k", "v", "kv"}}
        if not all(width in place.shape for place in others.values()):
            return
        shared = {role: (math.prod(each.shape) // width, 2 if role == "kv" else 1) for role, each in others.items()}
    head_dim, rest = divmod(query_features, heads)
    counts = {divmod(size, matrices * head_dim) if head_dim else (0, 0) for size, matrices in shared.values()}
    number, rest_of_it = counts.pop() if len(counts) == 1 else (0, 0)
    if rest or rest_of_it or not 0 < number < heads:
        return
    role = next(iter(shared))
    place = inputs[role][0]
    raise _unfit(
        name,
        f"has {number} key/value {'head' if number == 1 else 'heads'} of {head_dim} features for {heads} query heads "
        f"({place.weight} is {place.shape}), and no argument of a usual name (num_kv_heads) chooses this number; it "
        "is graded with other numbers too, and with a key/value head for every query head",
        "Let the number of key/value heads be an argument, num_kv_heads, and project keys and values to "
        "num_kv_heads * head_dim features.",
    )


def _out_features(output: ParameterRef | None, features: int) -> int:
    if output is None or len(output.shape) != 2:
        return output.shape[-1] if output is not None else features
    rows, columns = output.shape
    return rows if output.kind == "Linear" else columns


def _unfit(name: str, what: str, remedy: str) -> SubmissionError:
    return SubmissionError("no-target", f"{name} {what}.", remedy=remedy)
