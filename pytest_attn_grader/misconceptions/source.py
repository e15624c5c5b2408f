"""The submission's source, to decide between mistakes whose numbers are the same.

It is parsed and never run. Where it is not available or does not parse, it decides nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

_FILLS = frozenset({"masked_fill", "masked_fill_", "where", "full", "full_like"})
_MAKERS = frozenset({"tensor", "Tensor", "FloatTensor"})
_FRESH = frozenset({"zeros", "ones", "full", "Tensor", "FloatTensor"})
_FACTORIES = _FRESH | _MAKERS | {"arange", "linspace", "tril", "triu", "eye"}
_DOWNLOADS = frozenset(
    {"from_pretrained", "load_dataset", "hf_hub_download", "snapshot_download", "load_state_dict_from_url"}
    | {"urlopen", "urlretrieve", "download_url_to_file", "download_url"}
)
_CASTS = frozenset({"float", "double"})


class SubmissionSource:
    """Questions about the text of a submission; every one is False where there is no text."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    @cached_property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def _nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self._tree))

    @property
    def is_known(self) -> bool:
        return bool(self._tree.body)

    def calls(self, *names: str) -> bool:
        """Whether a function or method of one of these names is called."""
        return any(_name_of(call.func) in names for call in self._calls())

    def discards_result_of(self, *names: str) -> bool:
        """Whether a statement is nothing but a call of one of these, so that its result is lost."""
        return any(
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name_of(node.value.func) in names
            for node in self._nodes
        )

    def fills_with(self, low: float, high: float) -> bool:
        """Whether a number between these is passed to masked_fill, where or full, or assigned to an indexed tensor."""
        return any(low <= number <= high for number in self._fills())

    def multiplies_by_mask(self) -> bool:
        """Whether something whose name holds "mask" or "keep" is multiplied with the scores."""
        products = [node for node in self._nodes if isinstance(node, (ast.BinOp, ast.AugAssign))]
        sides = [
            side
            for node in products
            if isinstance(node.op, ast.Mult)
            for side in ([node.value] if isinstance(node, ast.AugAssign) else [node.left, node.right])
        ]
        return any(_mentions(side, ("mask", "keep", "tril")) for side in sides if not isinstance(side, ast.BinOp))

    def makes_scale_tensor(self) -> bool:
        """Whether torch.tensor(...) makes a tensor of a number that is then divided by or multiplied with."""
        return any(_name_of(call.func) in _MAKERS for call in self._calls())

    def makes_float_mask(self) -> bool:
        """Whether a new tensor is made without saying its dtype, where something is added."""
        adds = any(isinstance(getattr(node, "op", None), ast.Add) for node in self._nodes)
        return adds and any(
            _name_of(call.func) in _FRESH and not any(keyword.arg == "dtype" for keyword in call.keywords)
            for call in self._calls()
        )

    def imports(self, name: str) -> bool:
        """Whether a package of this name is imported."""
        return any(
            (isinstance(node, ast.Import) and any(each.name.split(".")[0] == name for each in node.names))
            or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == name)
            for node in self._nodes
        )

    def casts_up(self) -> bool:
        """Whether something is turned into float32 or float64: .float(), .to(torch.float32), dtype=torch.float32."""
        for call in self._calls():
            if _name_of(call.func) in _CASTS and isinstance(call.func, ast.Attribute) and not call.args:
                if not _is_made_here(call.func.value):
                    return True
                continue
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            is_cast = _name_of(call.func) in {"to", "softmax", "type", "sum", "matmul"}
            if is_cast and any(_name_of(each) in {"float32", "float64", "float"} for each in given):
                return True
        return False

    def download_at_import(self) -> ast.Call | None:
        """The first call outside of functions that fetches something: from_pretrained, load_dataset, urlopen, ..."""
        for statement in self._tree.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _name_of(node.func) in _DOWNLOADS:
                    return node
        return None

    def compares_mask_with_zero(self) -> bool:
        return any(
            isinstance(node, ast.Compare)
            and _mentions(node.left, ("mask",))
            and isinstance(node.ops[0], ast.Eq)
            and isinstance(node.comparators[0], ast.Constant)
            for node in self._nodes
        )

    def _calls(self) -> Iterator[ast.Call]:
        return (node for node in self._nodes if isinstance(node, ast.Call))

    def _fills(self) -> Iterator[float]:
        constants = {
            target.id: node.value
            for node in self._nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in self._nodes:
            candidates: list[ast.expr] = []
            if isinstance(node, ast.Call) and _name_of(node.func) in _FILLS:
                candidates = [*node.args, *(keyword.value for keyword in node.keywords)]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                candidates = [node.value]
            for each in candidates:
                value = constants.get(each.id, each) if isinstance(each, ast.Name) else each
                try:
                    number = ast.literal_eval(value)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    yield float(number)


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_made_here(node: ast.AST) -> bool:
    """Whether an expression is a mask or a new tensor, and no input in another dtype."""
    return (isinstance(node, ast.Call) and _name_of(node.func) in _FACTORIES) or _mentions(node, ("mask", "keep"))


def _mentions(node: ast.AST, words: tuple[str, ...]) -> bool:
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return any(word in name.lower() for name in names for word in words)
