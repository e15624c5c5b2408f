"""The search for projections among the parameters of a student's module: by name, by kind and by shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.messages import RemoteModule, RemoteParameter
from pytest_attn_grader.submission.projections.role_patterns import (
    ROLE_PATTERNS,
    is_bias,
    packing_order,
    role_of_parameter,
    roles_by_number,
)

_HEADS = ("num_heads", "n_head", "n_heads", "heads", "h", "nhead", "num_attention_heads", "nheads", "nb_heads")
LOOKED_FOR = (
    "q, k and v (also query, W_query, w_q, q_proj, to_q, …), or all three in one (qkv, c_attn, in_proj, "
    "query_key_value), and for the output out, out_proj, c_proj, W_o, o_proj or proj"
)


# The kind of a matrix that is an argument of a function: it may be stored in any way.
ARGUMENT = "Argument"


@dataclass(frozen=True)
class ParameterRef:
    """One matrix of a module, and the bias that belongs to it.

    Attributes:
        kind: "Linear" is stored ``(out_features, in_features)``, "Conv1D" the other way round; a bare "Parameter" may
            be either.
    """

    weight: str
    shape: tuple[int, ...]
    kind: str
    bias: str | None = None


@dataclass(frozen=True)
class ProjectionMap:
    """A module's projections.

    Attributes:
        inputs: by role (q, k, v, or qkv, or q and kv); several places when every head has its own.
        num_heads, head_dim: as far as names, shapes and attributes say.
        width: features of the hidden states.
        out_features: of the output projection, or of the heads side by side when there is none.
        others: parameters that belong to no projection; they keep their values.
        by_order: names said nothing; the matrices were taken as query, key, value, output as they are defined.
        letters: the order of query, key and value in a fused matrix, when its name says so.
        num_key_value_heads: heads of keys and values; None for one for every query head.
    """

    inputs: dict[str, tuple[ParameterRef, ...]]
    output: ParameterRef | None
    num_heads: int
    head_dim: int
    width: int
    out_features: int
    others: tuple[str, ...] = ()
    by_order: bool = False
    letters: str | None = None
    num_key_value_heads: int | None = None

    @property
    def key_value_heads(self) -> int:
        """How many heads share keys and values among the query heads."""
        return self.num_key_value_heads or self.num_heads

    @property
    def is_grouped(self) -> bool:
        """Whether several query heads share a key and a value."""
        return self.key_value_heads != self.num_heads

    @property
    def is_fused(self) -> bool:
        return "qkv" in self.inputs

    @property
    def has_input_biases(self) -> bool:
        return all(place.bias is not None for places in self.inputs.values() for place in places)

    @property
    def has_output_bias(self) -> bool:
        return self.output is not None and self.output.bias is not None


def find_projections(
    module: RemoteModule,
    name: str,
    *,
    num_heads: int | None = None,
    num_key_value_heads: int | None = None,
    find_unused: Callable[[], frozenset[str]] = frozenset,
) -> ProjectionMap:
    """Find the projections of a constructed module.

    Args:
        name: what messages call the module.
        num_heads: how many heads its constructor was asked for, if it was; num_key_value_heads likewise.
        find_unused: names of the parameters that no output depends on; called only where names leave a choice.

    Raises:
        SubmissionError: `no-target`, a projection is missing or its shape fits nothing; the message names what was
            looked for and what was seen.
    """
    weights = [parameter for parameter in module.parameters if not is_bias(parameter)]
    biases = [parameter for parameter in module.parameters if is_bias(parameter)]
    by_role, others = _sort_by_role(weights, biases)
    unused: frozenset[str] = frozenset()
    if _leaves_a_choice(by_role, weights, others):
        unused = find_unused()
        weights = [parameter for parameter in weights if parameter.name not in unused]
        by_role, others = _sort_by_role(weights, biases)
    by_order = not _complete(by_role)
    if by_order:
        seen_roles = set(by_role)
        numbered = roles_by_number(weights)
        listed = {each.name for some in numbered.values() for each in some}
        outputs = [place for place in by_role.get("o", []) if place.weight not in listed]
        by_role = {role: [_place(each, role, biases) for each in some] for role, some in numbered.items()}
        if by_role and "o" not in by_role and outputs:
            by_role["o"] = outputs
        by_role = by_role or _by_order(weights, biases)
        if not by_role:
            raise _missing(module, name, seen_roles)
    heads = num_heads or _number_of_heads(module)
    found = _resolve_sizes(by_role, name, heads, num_key_value_heads)
    if found.output is None and not by_order:
        left = [each for each in weights if each.name in others and len(each.shape) == 2]
        if len(left) == 1 and found.num_heads * found.head_dim in left[0].shape:
            # The only matrix left, and the heads side by side fit into it.
            others.remove(left[0].name)
            by_role = {**by_role, "o": [_place(left[0], "o", biases)]}
            found = _resolve_sizes(by_role, name, heads, num_key_value_heads)
    letters = packing_order(found.inputs["qkv"][0].weight) if found.is_fused else None
    return replace(found, others=(*others, *sorted(unused)), by_order=by_order, letters=letters)


def _sort_by_role(
    weights: Sequence[RemoteParameter], biases: Sequence[RemoteParameter]
) -> tuple[dict[str, list[ParameterRef]], list[str]]:
    """Parameters by role, and the names of those that have none."""
    by_role: dict[str, list[ParameterRef]] = {}
    others: list[str] = []
    for parameter in weights:
        role = role_of_parameter(parameter)
        if role is None or len(parameter.shape) not in {2, 3}:
            others.append(parameter.name)
        else:
            by_role.setdefault(role, []).append(_place(parameter, role, biases))
    return by_role, others


def _leaves_a_choice(
    by_role: dict[str, list[ParameterRef]], weights: Sequence[RemoteParameter], others: Sequence[str]
) -> bool:
    """Whether there are two output projections, several of only one input, or a matrix whose name says nothing."""
    counts = {len(places) for role, places in by_role.items() if role != "o"}
    nameless = [each for each in weights if each.name in others and len(each.shape) == 2]
    return len(by_role.get("o", [])) > 1 or len(counts) > 1 or bool(nameless)


def _place(parameter: RemoteParameter, role: str, biases: Sequence[RemoteParameter]) -> ParameterRef:
    kind = parameter.owner if parameter.name.rpartition(".")[2] == "weight" else "Parameter"
    kind = kind.removeprefix("Lazy").removeprefix("NonDynamicallyQuantizable")
    folder = parameter.name.rpartition(".")[0]
    for bias in biases:
        if bias.name.rpartition(".")[0] != folder:
            continue
        plain = re.sub(r"^b(?:ias)?_?|_?bias$", "", bias.name.lower().rpartition(".")[2])
        if kind != "Parameter" or any(re.fullmatch(pattern, plain) for each, pattern in ROLE_PATTERNS if each == role):
            return ParameterRef(parameter.name, parameter.shape, kind, bias.name)
    return ParameterRef(parameter.name, parameter.shape, kind)


def _complete(by_role: dict[str, list[ParameterRef]]) -> bool:
    return {"qkv"} <= by_role.keys() or {"q", "kv"} <= by_role.keys() or {"q", "k", "v"} <= by_role.keys()


def _by_order(weights: Sequence[RemoteParameter], biases: Sequence[RemoteParameter]) -> dict[str, list[ParameterRef]]:
    """Three or four matrices of one shape without telling names: query, key, value, output, as they are defined."""
    matrices = [parameter for parameter in weights if len(parameter.shape) == 2]
    if len(matrices) not in {3, 4} or len({parameter.shape for parameter in matrices}) != 1:
        return {}
    if any(role_of_parameter(parameter) is not None for parameter in matrices):
        # Some names are known: a missing one is a mistake to report, not a gap to fill.
        return {}
    return {role: [_place(parameter, role, biases)] for role, parameter in zip("qkvo", matrices, strict=False)}


def _number_of_heads(module: RemoteModule) -> int | None:
    return next((module.sizes[name] for name in _HEADS if module.sizes.get(name, 0) > 0), None)


def _resolve_sizes(
    by_role: dict[str, list[ParameterRef]], name: str, heads: int | None, key_value_heads: int | None
) -> ProjectionMap:
    """Read number of heads and sizes off the shapes."""
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
    role, (first, *_) = next(iter(inputs.items()))
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
                    "Query, key and value need projections of the same sizes.",
                )


def _out_features(output: ParameterRef | None, features: int) -> int:
    if output is None or len(output.shape) != 2:
        return output.shape[-1] if output is not None else features
    rows, columns = output.shape
    return rows if output.kind == "Linear" else columns


def _missing(module: RemoteModule, name: str, seen_roles: set[str]) -> SubmissionError:
    seen = ", ".join(f"{each.name} {each.shape}" for each in module.parameters[:12]) or "no parameters at all"
    lacking = [word for role, word in (("q", "query"), ("k", "key"), ("v", "value")) if role not in seen_roles]
    wanted = " and ".join(f"{word[0]}_proj for the {word}" for word in lacking)
    unknown = [each.name for each in module.parameters if not is_bias(each) and role_of_parameter(each) is None]
    remedy = f"Give it a projection called {wanted}."
    if unknown:
        remedy = (
            f"If {unknown[0]} is one of them, call it so: {wanted}. Or say where each goes with a method "
            "load_projections(self, w_q, w_k, w_v, w_o, biases)."
        )
    if module.unregistered:
        names = ", ".join(module.unregistered)
        seen += f". Not seen by torch: {names}"
        remedy = (
            f"Wrap {names} in nn.Parameter or nn.ModuleList: what a module keeps as plain tensors or in a plain list "
            "is no parameter, and would never be trained."
        )
    return SubmissionError(
        "no-target",
        f"{name} is a module, but its projections for {' and '.join(lacking)} were not found. "
        f"Looked for parameters called {LOOKED_FOR}. Seen: {seen}.",
        remedy=remedy,
    )


def _unfit(name: str, what: str, remedy: str) -> SubmissionError:
    return SubmissionError("no-target", f"{name} {what}.", remedy=remedy)
