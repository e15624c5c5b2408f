"""The search for projections among the parameters of a student's module: by name, by kind and by shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.projections.norms import find_norms
from pytest_attn_grader.submission.projections.projection_map import ParameterRef, ProjectionMap
from pytest_attn_grader.submission.projections.role_patterns import (
    ROLE_PATTERNS,
    find_low_rank,
    is_bias,
    packing_order,
    role_by_word,
    role_of_parameter,
    roles_by_number,
)
from pytest_attn_grader.submission.projections.sizes import resolve_sizes
from pytest_attn_grader.submission.remote.messages import RemoteModule, RemoteParameter
from pytest_attn_grader.submission.size_names import role_of_size

LOOKED_FOR = (
    "q, k and v (also query, W_query, w_q, q_proj, to_q, …), or all three in one (qkv, c_attn, in_proj, "
    "query_key_value), and for the output out, out_proj, c_proj, W_o, o_proj or proj"
)


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
    require_separate_weights(module, name)
    kernels = tuple((each.name, each.shape) for each in module.parameters if _is_kernel_of_one(each))
    module = replace(module, parameters=tuple(map(_as_linear, module.parameters)))
    low_rank = find_low_rank(module.parameters)
    weights = [parameter for parameter in module.parameters if not is_bias(parameter) and parameter not in low_rank]
    biases = [parameter for parameter in module.parameters if is_bias(parameter) and parameter not in low_rank]
    by_role, others = _sort_by_role(weights, biases)
    unused: frozenset[str] = frozenset()
    if _leaves_a_choice(by_role, weights, others):
        unused = find_unused()
        weights = [parameter for parameter in weights if parameter.name not in unused]
        by_role, others = _sort_by_role(weights, biases)
    by_word = (by_role, others) if _complete(by_role) else _sort_by_role(weights, biases, role_by_word)
    if _complete(by_word[0]):
        by_role, others = by_word
    by_order = not _complete(by_role) or _is_list_of_three(by_role.get("qkv", []))
    heads = num_heads or _number_of_heads(module)
    if by_order:
        counts = (heads or 1, num_key_value_heads or heads or 1)
        seen_roles = set(by_role)
        numbered = roles_by_number(weights)
        listed = {each.name for some in numbered.values() for each in some}
        outputs = [place for place in by_role.get("o", []) if place.weight not in listed]
        by_role = {role: [_place(each, role, biases) for each in some] for role, some in numbered.items()}
        if by_role and "o" not in by_role and outputs:
            by_role["o"] = outputs
        by_role = by_role or _by_order(weights, biases) or _by_shape(weights, biases, *counts)
        if not by_role:
            raise _missing(module, name, seen_roles)
    found = resolve_sizes(by_role, name, heads, num_key_value_heads)
    if found.output is None:
        taken = {place.weight for places in by_role.values() for place in places}
        left = [each for each in weights if each.name not in taken and len(each.shape) == 2]
        if len(left) == 1 and found.num_heads * found.head_dim in left[0].shape:
            # The only matrix left, and the heads side by side fit into it.
            others = [name for name in others if name != left[0].name]
            by_role = {**by_role, "o": [_place(left[0], "o", biases)]}
            found = resolve_sizes(by_role, name, heads, num_key_value_heads)
    further = [each for each in by_role.get("o", []) if found.output not in {None, each} and _is_square(each, found)]
    letters = packing_order(found.inputs["qkv"][0].weight) if found.is_fused else None
    norms = find_norms(each for each in module.parameters if each.name in others)
    return replace(
        found,
        others=(*others, *sorted(unused)),
        by_order=by_order,
        letters=letters,
        norms=norms,
        kernels=kernels,
        low_rank=tuple(_place(parameter, "", ()) for parameter in low_rank),
        after_output=tuple(further),
    )


def _is_square(place: ParameterRef, found: ProjectionMap) -> bool:
    return place.shape == (found.out_features, found.out_features)


def _is_kernel_of_one(parameter: RemoteParameter) -> bool:
    """Whether a parameter is the weight of a convolution that sees one token at a time, as a linear layer does."""
    return parameter.owner.startswith("Conv") and len(parameter.shape) > 2 and set(parameter.shape[2:]) == {1}


def _as_linear(parameter: RemoteParameter) -> RemoteParameter:
    if not _is_kernel_of_one(parameter):
        return parameter
    return replace(parameter, shape=parameter.shape[:2], owner="Linear")


def _sort_by_role(
    weights: Sequence[RemoteParameter],
    biases: Sequence[RemoteParameter],
    role_of: Callable[[RemoteParameter], str | None] = role_of_parameter,
) -> tuple[dict[str, list[ParameterRef]], list[str]]:
    """Parameters by role, and the names of those that have none."""
    by_role: dict[str, list[ParameterRef]] = {}
    others: list[str] = []
    for parameter in weights:
        role = role_of(parameter)
        if role is None or len(parameter.shape) not in {2, 3}:
            others.append(parameter.name)
        else:
            by_role.setdefault(role, []).append(_place(parameter, role, biases))
    if {"q", "k", "v"} <= by_role.keys() and "qkv" in by_role:
        # Beside all three, "attn_proj" is the output's.
        by_role.setdefault("o", []).extend(by_role.pop("qkv"))
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
    kind = "Linear" if "linear" in kind.lower() else kind  # LazyLinear, LoRALinear, CustomLinear
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


def _is_list_of_three(places: Sequence[ParameterRef]) -> bool:
    """Whether a list that is named after all three holds one matrix for each: ``qkv_layers.0`` to ``qkv_layers.2``."""
    return len(places) == 3 and all(re.search(r"\.\d+(?:\.weight)?$", place.weight) for place in places)


def _by_order(weights: Sequence[RemoteParameter], biases: Sequence[RemoteParameter]) -> dict[str, list[ParameterRef]]:
    """Three or four matrices of one shape without telling names: query, key, value, output, as they are defined."""
    matrices = [parameter for parameter in weights if len(parameter.shape) == 2]
    if len(matrices) not in {3, 4} or len({parameter.shape for parameter in matrices}) != 1:
        return {}
    if any(role_of_parameter(parameter) is not None for parameter in matrices):
        # Some names are known: a missing one is a mistake to report, not a gap to fill.
        return {}
    return {role: [_place(parameter, role, biases)] for role, parameter in zip("qkvo", matrices, strict=False)}


def _by_shape(
    weights: Sequence[RemoteParameter], biases: Sequence[RemoteParameter], heads: int, key_value_heads: int
) -> dict[str, list[ParameterRef]]:
    """A matrix of a name that says nothing, as long as all three, and at most a square one for the output."""
    matrices = [parameter for parameter in weights if len(parameter.shape) == 2]
    all_heads = heads + 2 * key_value_heads
    fused = [each for each in matrices if max(each.shape) * heads == min(each.shape) * all_heads]
    squares = [each for each in matrices if each.shape == (min(fused[0].shape),) * 2] if fused else []
    if len(fused) != 1 or len(squares) > 1 or len(matrices) != len(fused) + len(squares):
        return {}
    if any(role_of_parameter(parameter) not in {None, "o"} for parameter in matrices):
        return {}
    found = {"qkv": fused, "o": squares}
    return {role: [_place(each, role, biases) for each in some] for role, some in found.items() if some}


def _number_of_heads(module: RemoteModule) -> int | None:
    """The number of heads that an attribute of the module holds."""
    return next((size for name, size in module.sizes.items() if role_of_size(name) == "heads" and size > 0), None)


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
    elif not module.parameters:
        remedy = (
            "Make its layers in __init__ and keep them, self.q_proj = nn.Linear(…): a layer that forward makes is new "
            "in every call, and is never trained."
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


_PROJECTIONS = frozenset({"q", "k", "v", "o", "qkv", "kv"})


class SharedWeightsError(SubmissionError):
    """One layer or head stands in several places: the module is wrong, however right a function beside it is."""


def require_separate_weights(module: RemoteModule, name: str) -> None:
    """Refuse a module in which one layer, or one head, stands in several places.

    Raises:
        SharedWeightsError: `no-target`, it names the places and what shares their weights.
    """
    shapes = {each.name: each.shape for each in module.parameters}
    for names in module.shared:
        if len(shapes.get(names[0], ())) < 2:
            continue
        layers = _folders(names)
        in_list = [each for each in layers if re.sub(r"\d+", "#", each) == re.sub(r"\d+", "#", layers[0])]
        if len(in_list) > 1:
            raise _in_every_place(name, in_list, shapes[names[0]])
        roles = [role_of_parameter(RemoteParameter(each, shapes[names[0]], "", "")) for each in names]
        if len(_PROJECTIONS & {role for role in roles if role is not None}) > 1:
            raise _under_several_names(name, layers)


def _folders(names: Sequence[str]) -> list[str]:
    """The layers that a parameter is in, by the names of the module that lead to it."""
    return [each.removesuffix(".weight") for each in names]


def _in_every_place(name: str, places: Sequence[str], shape: tuple[int, ...]) -> SharedWeightsError:
    numbers = [re.findall(r"\d+", each) for each in places]
    depth = next(index for index, parts in enumerate(zip(*numbers, strict=True)) if len(set(parts)) > 1)
    before = ["".join(re.split(r"(\d+)", each)[: 2 * depth + 2]) for each in places]
    what = "layer" if before == list(places) else "head"
    return SharedWeightsError(
        "no-target",
        f"{name} has one {what} in several places: {', '.join(before[:-1])} and {before[-1]} are the same object, and "
        f"share their weights ({places[0]} is {shape}). In a model's layer each has separate weights.",
        remedy=f"Make a new {what} for each place: [make() for _ in range(n)], or copy.deepcopy(it) in the loop. "
        f"[it] * n and [it for _ in range(n)] repeat one object.",
    )


def _under_several_names(name: str, layers: Sequence[str]) -> SharedWeightsError:
    return SharedWeightsError(
        "no-target",
        f"{name} has one layer under several names: {', '.join(layers[:-1])} and {layers[-1]} are the same object, and "
        "share their weights. In a model's layer query, key and value have separate weights.",
        remedy=f"Make a layer for each name: {layers[0]} = nn.Linear(…), then {layers[-1]} = nn.Linear(…). "
        "a = b = nn.Linear(…) makes one.",
    )
