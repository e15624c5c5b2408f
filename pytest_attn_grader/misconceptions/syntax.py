"""Expressions of Python source: names, operands, and what looks like a mask."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from itertools import chain

# Calls that make a tensor of numbers.
MAKERS = frozenset({"tensor", "Tensor", "FloatTensor"})
FRESH = frozenset({"zeros", "ones", "full", "Tensor", "FloatTensor"})
_FACTORIES = FRESH | MAKERS | {"arange", "linspace", "tril", "triu", "eye"}

_LAYER = re.compile(r"Linear|Conv1D|Parameter|[Rr]otary|R[Oo]PE")
_CHANGES = frozenset(
    {"append", "extend", "insert", "update", "setdefault", "add", "pop", "clear", "copy_", "add_", "register_buffer"}
)

# What is called mask_length is no mask.
_NUMBER_OF_MASKED = re.compile(r"(^|_)(len|length|size|num|count|ratio|prob|idx|index)s?(_|$)")


def gives_a_value(node: ast.AST) -> bool:
    return isinstance(node, (ast.Yield, ast.YieldFrom)) or (isinstance(node, ast.Return) and node.value is not None)


def is_arithmetic(node: ast.AST) -> bool:
    return isinstance(node, (ast.BinOp, ast.AugAssign))


def sides(node: ast.AST) -> list[ast.expr]:
    """The operands of a binary operation, or of one that is assigned (scores += mask)."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    return [node.value] if isinstance(node, ast.AugAssign) else []


def compared(node: ast.Compare) -> list[ast.expr]:
    """Return the compared expressions; none where the question is whether something is None."""
    return [] if isinstance(node.ops[0], (ast.Is, ast.IsNot)) else [node.left, *node.comparators]


def is_mask(node: ast.AST, words: tuple[str, ...]) -> bool:
    """Whether an operand is a mask, or a part or view of one: mask, self.mask, mask[:, None], mask.unsqueeze(1)."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
        if isinstance(node, ast.Attribute) and not mentions_word(node.attr, words):
            node = node.value
    return mentions_word(name_of(node), words) and not _NUMBER_OF_MASKED.search(name_of(node).lower())


def takes_mask_of_ones(nodes: Collection[ast.AST], words: tuple[str, ...]) -> bool:
    """Whether the scores get a mask minus 1, or 1 minus a mask, as one of ones and zeros: scores + (mask - 1)."""
    added = [
        side
        for node in nodes
        if isinstance(getattr(node, "op", None), (ast.Add, ast.Sub))
        for side in sides(node)
        if isinstance(side, ast.BinOp) and isinstance(side.op, ast.Sub)
    ]
    return any(
        is_mask(one, words) and isinstance(other, ast.Constant) and other.value == 1
        for difference in added
        for one, other in (sides(difference), reversed(sides(difference)))
    )


def mentions_word(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name.lower() if word == "mask" else word == name.lower() for word in words)


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_fresh_float(node: ast.AST) -> bool:
    """Whether a call makes a tensor without saying its dtype, which is then float32."""
    is_call = isinstance(node, ast.Call) and name_of(node.func) in FRESH
    return is_call and not any(keyword.arg == "dtype" for keyword in getattr(node, "keywords", ()))


def fills_fresh_tensors(nodes: Collection[ast.AST]) -> bool:
    """Whether a tensor that is made without saying its dtype is assigned to in a loop, or gets another's numbers."""
    assignments = _assignments(nodes)
    fresh = [node for node in assignments if any(is_fresh_float(each) for each in ast.walk(node.value))]
    made = {name_of(target) for node in fresh for target in _targets_of(node)}
    repeated = chain.from_iterable(_assignments(ast.walk(node)) for node in nodes if isinstance(node, ast.For))
    targets = [target for node in repeated for target in _targets_of(node)]
    stored = [node for node in assignments if isinstance(node.value, (ast.Name, ast.Call))]
    stored = [node for node in stored if name_of(getattr(node.value, "func", node.value)) not in {"float", "inf"}]
    targets += [each for node in stored for each in _targets_of(node) if isinstance(each, ast.Subscript)]
    return any(name_of(each.value if isinstance(each, ast.Subscript) else each) in made for each in targets)


def _assignments(nodes: Iterable[ast.AST]) -> list[ast.Assign | ast.AugAssign]:
    return [node for node in nodes if isinstance(node, (ast.Assign, ast.AugAssign))]


def _targets_of(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> list[ast.expr]:
    """The places that are assigned to, those of a tuple one by one."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [part for each in targets for part in (each.elts if isinstance(each, ast.Tuple) else [each])]


def is_made_here(node: ast.AST) -> bool:
    """Whether an expression is a mask, positions, frequencies or a new tensor, and no input in another dtype."""
    words = ("mask", "keep", "pos", "freq")
    return (isinstance(node, ast.Call) and name_of(node.func) in _FACTORIES) or mentions(node, words)


def mentions(node: ast.AST, words: tuple[str, ...]) -> bool:
    """Whether a variable or an attribute, methods left aside, has one of these words in its name."""
    methods = {each.func for each in ast.walk(node) if isinstance(each, ast.Call)}
    names = [name_of(each) for each in ast.walk(node) if each not in methods]
    return any(word in name.lower() for name in names for word in words)


def leaves_tables(nodes: Collection[ast.AST]) -> bool:
    """Whether a sine or cosine is not cast where it is computed, as in cos().to(x.dtype)."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    casts = [call.func for call in calls if name_of(call.func) in {"to", "type_as", "type"}]
    inside = {node for cast in casts for node in ast.walk(cast)}
    return any(name_of(call.func) in {"cos", "sin"} and call not in inside for call in calls)


def multiplies_infinity(nodes: Collection[ast.AST]) -> bool:
    """Whether infinity occurs, and is multiplied by something or a mask is, so that it may meet a 0."""
    products = [node for node in nodes if isinstance(getattr(node, "op", None), ast.Mult)]
    infinite = {node for node in nodes if _is_infinity(node)}
    operands = [side for node in products for side in sides(node)]
    return bool(infinite) and any(
        mentions(side, ("mask", "keep", "pad", "tril", "causal")) or any(node in infinite for node in ast.walk(side))
        for side in operands
    )


def _is_infinity(node: ast.AST) -> bool:
    text = node.value if isinstance(node, ast.Constant) else name_of(node)
    return isinstance(text, str) and re.search(r"(?<![a-z])inf(init[ey]|ty)?(?![a-z])", text.lower()) is not None


def makes_one_number(call: ast.Call) -> bool:
    """Whether a tensor of one number is made: torch.tensor(d), torch.Tensor([8.0]), not torch.tensor([... for ...])."""
    made = call.args[0] if call.args else None
    is_longer = isinstance(made, ast.ListComp) or (isinstance(made, ast.List) and len(made.elts) > 1)
    return name_of(call.func) in MAKERS and not is_longer


def has_triangle_of_zeros(nodes: Collection[ast.AST]) -> bool:
    """Whether a triangle is taken of zeros: torch.tril(torch.zeros(n, n)), torch.zeros(n, n).triu(1)."""
    triangles = [node for node in nodes if isinstance(node, ast.Call) and name_of(node.func) in {"tril", "triu"}]
    called = [each for node in triangles for each in ast.walk(node) if isinstance(each, ast.Call)]
    return any(name_of(each.func) in {"zeros", "zeros_like"} for each in called)


def count_root_scalings(nodes: Collection[ast.AST]) -> int:
    """Count products and divisions with a root: scores / math.sqrt(d), or query * scale where scale = d**-0.5."""

    def is_root(node: ast.AST) -> bool:
        parts = [*ast.walk(node)]
        is_product = any(isinstance(getattr(part, "op", None), ast.MatMult) for part in parts)
        called = {name_of(part.func) for part in parts if isinstance(part, ast.Call)}
        is_power = any(isinstance(getattr(part, "op", None), ast.Pow) for part in parts)
        return (is_power or bool(called & {"sqrt", "rsqrt", "pow"})) and not (
            is_product or called & {"matmul", "einsum", "bmm"}
        )

    given = [node for node in nodes if isinstance(node, ast.Assign) and is_root(node.value)]
    named = {name_of(target) for node in given for target in node.targets}
    scalings = [node for node in nodes if isinstance(getattr(node, "op", None), (ast.Mult, ast.Div))]
    return sum(any(is_root(side) or name_of(side) in named for side in sides(node)) for node in scalings)


def assigned_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that these statements themselves assign, not those inside of functions and classes."""
    targets = [
        target
        for statement in statements
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    return {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}


def mutable_defaults(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The parameters whose default is a list, a dict or the result of a call: it lives as long as the function."""
    given = [*function.args.posonlyargs, *function.args.args]
    pairs = [
        *zip(given[len(given) - len(function.args.defaults) :], function.args.defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]
    return {name.arg for name, default in pairs if isinstance(default, (ast.List, ast.Dict, ast.Set, ast.Call))}


def changes_lasting(node: ast.AST, names: Collection[str]) -> bool:
    """Whether a statement declares a global, or changes an attribute or something that one of these names holds."""
    if isinstance(node, ast.Global):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
        return _is_lasting(node.func.value, names)
    if not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        return False
    return any(not isinstance(part, ast.Name) and _is_lasting(part, names) for part in _targets_of(node))


def _is_lasting(node: ast.AST, names: Collection[str]) -> bool:
    while isinstance(node, ast.Subscript):
        node = node.value
    return (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)


def reread_attributes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The attributes that a function reads before it writes them, so that an earlier call may have left them."""
    reads: dict[str, int] = {}
    writes: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute):
            lines = reads if isinstance(node.ctx, ast.Load) else writes
            lines[node.attr] = min(node.lineno, lines.get(node.attr, node.lineno))
        elif isinstance(node, ast.Call) and name_of(node.func) in {"getattr", "hasattr"} and len(node.args) > 1:
            asked = str(getattr(node.args[1], "value", ""))
            reads[asked] = min(node.lineno, reads.get(asked, node.lineno))
    return {name for name, line in reads.items() if line <= writes.get(name, line)}


def unused_layers(tree: ast.AST) -> list[str]:
    """The attributes that a constructor sets to a layer or parameters, and that nothing reads."""
    nodes = [*ast.walk(tree)]
    made = [
        target.attr
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _LAYER.search(name_of(node.value.func))
        for target in node.targets
        if isinstance(target, ast.Attribute) and name_of(target.value) == "self"
    ]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    read |= {str(node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    # What goes over all layers at once uses each of them.
    uses_all = read & {
        "children",
        "modules",
        "parameters",
        "named_children",
        "named_parameters",
        "_modules",
        "__dict__",
    }
    return [] if uses_all else [name for name in dict.fromkeys(made) if name not in read]


def adds_last_axis(node: ast.AST) -> bool:
    """Whether a mask gets a new last axis: mask[:, None, :, None], mask[..., None], mask.unsqueeze(-1)."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) > 1:
        last = node.slice.elts[-1]
        return isinstance(last, ast.Constant) and last.value is None and _is_about_mask(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "unsqueeze":
        where = ast.unparse(node.args[0]) if node.args else ""
        is_last = where in {"-1", "3"} or (where == "2" and not isinstance(node.func.value, ast.Call))
        return is_last and _is_about_mask(node.func.value)
    return False


def _is_about_mask(node: ast.AST) -> bool:
    return any(word in ast.unparse(node).lower() for word in ("mask", "pad", "keep", "valid"))


def is_size_of(node: ast.AST, axes: Collection[str]) -> bool:
    """Whether an expression is the size of one of these axes: x.shape[1], x.size(-2)."""
    if isinstance(node, ast.Subscript) and name_of(node.value) == "shape":
        return ast.unparse(node.slice) in axes
    return (
        isinstance(node, ast.Call)
        and name_of(node.func) == "size"
        and [*map(ast.unparse, node.args)] in [[axis] for axis in axes]
    )
