"""Which parameters of a student's module are which projection: by name, by kind and by shape."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.messages import RemoteModule, RemoteParameter

_KIND = (
    r"(?:_?(?:proj|projection|lin|linear|w|weight|layer|net|fc|mat|matrix|matrice|transform|map|mapping|head|encoder|"
    r"embed|dense|param)s?)?"
)
_PREFIX = r"(?:(?:w|to|fc|lin|linear|proj|weight|in|attn|dense)_?)?"
_MIX = "merge|mix|z"
# Names of fused projections that say in which order they hold query, key and value.
_ORDERS = {
    separator.join(words): "".join(word[0] for word in words)
    for separator, names in (("", ("q", "k", "v")), ("_", ("query", "key", "value")))
    for words in itertools.permutations(names)
}
# Tried in this order: "query_key_value" is no query.
_ROLE_PATTERNS: tuple[tuple[str, str], ...] = (
    ("qkv", rf"{_PREFIX}(?:{'|'.join(_ORDERS)}|c_attn|attn_in|in_proj|qkvs|attn){_KIND}"),
    ("kv", rf"{_PREFIX}(?:kv|key_value|kvs){_KIND}"),
    ("q", rf"{_PREFIX}(?:q|qs|query|queries|wq){_KIND}"),
    ("k", rf"{_PREFIX}(?:k|ks|key|keys|wk){_KIND}"),
    ("v", rf"{_PREFIX}(?:v|vs|val|vals|value|values|wv){_KIND}"),
    (
        "o",
        rf"{_PREFIX}(?:o|out|output|c_proj|c|proj|wo|dense|unify(?:_?heads)?|final|combine|fc|linear|merge|mix|z){_KIND}",
    ),
)
# Names that say "a layer" as often as "the output projection": "query.linear" is the query's.
_WEAK = re.compile(r"(?:c|proj|dense|fc|linear|lin|z|layer|mix|map|net)s?")
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

    @property
    def is_fused(self) -> bool:
        return "qkv" in self.inputs

    @property
    def has_input_biases(self) -> bool:
        return all(place.bias is not None for places in self.inputs.values() for place in places)

    @property
    def has_output_bias(self) -> bool:
        return self.output is not None and self.output.bias is not None


def find_projections(module: RemoteModule, name: str, *, num_heads: int | None = None) -> ProjectionMap:
    """Find the projections of a constructed module.

    Args:
        name: what messages call the module.
        num_heads: how many heads its constructor was asked for, if it was.

    Raises:
        SubmissionError: `no-target`, a projection is missing or its shape fits nothing; the message names what was
            looked for and what was seen.
    """
    weights = [parameter for parameter in module.parameters if not _is_bias(parameter)]
    biases = [parameter for parameter in module.parameters if _is_bias(parameter)]
    by_role: dict[str, list[ParameterRef]] = {}
    others: list[str] = []
    for parameter in weights:
        role = _role_of(parameter)
        if role is None or len(parameter.shape) not in {2, 3}:
            others.append(parameter.name)
        else:
            by_role.setdefault(role, []).append(_place(parameter, role, biases))
    by_order = not _complete(by_role)
    if by_order:
        seen_roles = set(by_role)
        by_role = _by_order(weights, biases)
        if not by_role:
            raise _missing(module, name, seen_roles)
    heads = num_heads or _number_of_heads(module)
    found = _resolve_sizes(by_role, module, name, heads)
    if found.output is None and not by_order:
        left = [each for each in weights if each.name in others and len(each.shape) == 2]
        if len(left) == 1 and found.num_heads * found.head_dim in left[0].shape:
            # The only matrix left, and the heads side by side fit into it.
            others.remove(left[0].name)
            found = _resolve_sizes({**by_role, "o": [_place(left[0], "o", biases)]}, module, name, heads)
    letters = packing_order(found.inputs["qkv"][0].weight) if found.is_fused else None
    return replace(found, others=tuple(others), by_order=by_order, letters=letters)


def _role_of(parameter: RemoteParameter) -> str | None:
    """By the last part of its path that says something: numbers and "weight" do not."""
    parts = [part for part in parameter.name.lower().split(".") if not part.isdigit() and part != "weight"]
    weak: str | None = None
    for part in reversed(parts):
        plain = re.sub(r"_?weights?$", "", part) or part
        role = next(
            (each for each, pattern in _ROLE_PATTERNS if re.fullmatch(pattern, plain) or re.fullmatch(pattern, part)),
            None,
        )
        if role is not None and not _WEAK.fullmatch(part):
            return role
        weak = weak or role
    return weak


def packing_order(name: str) -> str | None:
    """The order of query, key and value, if a fused projection's name has it; `in_proj` and `c_attn` do not."""
    plain = name.lower()
    return next((letters for written, letters in _ORDERS.items() if written in plain), None)


def _is_bias(parameter: RemoteParameter) -> bool:
    last = parameter.name.lower().rpartition(".")[2]
    return "bias" in last or re.fullmatch(r"b_?(q|k|v|o|qkv|query|key|value|out)", last) is not None


def _place(parameter: RemoteParameter, role: str, biases: Sequence[RemoteParameter]) -> ParameterRef:
    kind = parameter.owner if parameter.name.rpartition(".")[2] == "weight" else "Parameter"
    kind = kind.removeprefix("Lazy").removeprefix("NonDynamicallyQuantizable")
    folder = parameter.name.rpartition(".")[0]
    for bias in biases:
        if bias.name.rpartition(".")[0] != folder:
            continue
        plain = re.sub(r"^b(?:ias)?_?|_?bias$", "", bias.name.lower().rpartition(".")[2])
        if kind != "Parameter" or any(re.fullmatch(pattern, plain) for each, pattern in _ROLE_PATTERNS if each == role):
            return ParameterRef(parameter.name, parameter.shape, kind, bias.name)
    return ParameterRef(parameter.name, parameter.shape, kind)


def _complete(by_role: dict[str, list[ParameterRef]]) -> bool:
    return {"qkv"} <= by_role.keys() or {"q", "kv"} <= by_role.keys() or {"q", "k", "v"} <= by_role.keys()


def _by_order(weights: Sequence[RemoteParameter], biases: Sequence[RemoteParameter]) -> dict[str, list[ParameterRef]]:
    """Three or four matrices of one shape without telling names: query, key, value, output, as they are defined."""
    matrices = [parameter for parameter in weights if len(parameter.shape) == 2]
    if len(matrices) not in {3, 4} or len({parameter.shape for parameter in matrices}) != 1:
        return {}
    if any(_role_of(parameter) is not None for parameter in matrices):
        # Half of the names speak: a missing one is a mistake to be told, not a gap to be filled.
        return {}
    return {role: [_place(parameter, role, biases)] for role, parameter in zip("qkvo", matrices, strict=False)}


def _number_of_heads(module: RemoteModule) -> int | None:
    return next((module.sizes[name] for name in _HEADS if module.sizes.get(name, 0) > 0), None)


def _resolve_sizes(
    by_role: dict[str, list[ParameterRef]], module: RemoteModule, name: str, heads: int | None
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
    unknown = [each.name for each in module.parameters if not _is_bias(each) and _role_of(each) is None]
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
