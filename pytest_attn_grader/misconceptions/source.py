"""The submission's source, parsed and never run, to decide between mistakes whose numbers are the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from pytest_attn_grader.misconceptions.syntax import (
    adds_last_axis,
    assigned_names,
    changes_lasting,
    compared,
    fills_fresh_tensors,
    gives_a_value,
    is_arithmetic,
    is_fresh_float,
    is_made_here,
    is_mask,
    is_size_of,
    leaves_tables,
    makes_one_number,
    mentions,
    mutable_defaults,
    name_of,
    reread_attributes,
    sides,
    unused_layers,
)

_FILLS = frozenset({"masked_fill", "masked_fill_", "where", "full", "full_like"})
_DOWNLOADS = frozenset(
    {"from_pretrained", "load_dataset", "hf_hub_download", "snapshot_download", "load_state_dict_from_url"}
    | {"urlopen", "urlretrieve", "download_url_to_file", "download_url"}
)
_HALVES = frozenset({"0.5", "-0.5", "1 / 2", "-1 / 2"})
_WIDTHS = frozenset(
    {"C", "d_model", "n_embd", "embed_dim", "emb_dim", "embed_size", "emb_size", "embedding_dim", "hidden_size"}
    | {"hid_dim", "hidden_dim", "model_dim", "dim", "d_out", "d_in", "num_hiddens", "width"}
)
_RANDOM = frozenset(
    {"rand", "randn", "rand_like", "randn_like", "randint", "randperm", "normal", "normal_", "uniform_", "bernoulli"}
    | {"multinomial", "gumbel_softmax", "dropout", "Dropout", "Linear", "Parameter"}
)
_CONVERSIONS = frozenset({"bool", "float", "long", "int", "to", "type", "type_as", "logical_not", "eq", "ne"})


class SubmissionSource:
    """Questions about the text of a submission; every one is False where there is no text that parses."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    @cached_property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of its syntax tree."""
        return tuple(ast.walk(self._tree))

    @property
    def is_known(self) -> bool:
        return bool(self._tree.body)

    def calls(self, *names: str) -> bool:
        """Whether a function or method of one of these names is called."""
        return any(name_of(call.func) in names for call in self._calls())

    def discards_result_of(self, *names: str) -> bool:
        """Whether a statement is nothing but a call of one of these, so that its result is lost."""
        return any(
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and name_of(node.value.func) in names
            for node in self.nodes
        )

    def fills_with(self, low: float, high: float) -> bool:
        """Whether a number between these is passed to masked_fill, where or full, or assigned to an indexed tensor."""
        return any(low <= number <= high for number in self.fills())

    def multiplies_by_mask(self) -> bool:
        """Whether something whose name holds "mask" or "keep" is multiplied with the scores."""
        products = [node for node in self.nodes if isinstance(getattr(node, "op", None), ast.Mult)]
        operands = [side for node in products for side in sides(node)]
        return any(mentions(side, ("mask", "keep", "tril")) for side in operands if not isinstance(side, ast.BinOp))

    def adds_mask(self, name: str) -> bool:
        """Whether a mask, of this name or with "mask" in it, is added to something and nothing else is done to it."""
        words = ("mask", name.lower())
        sums = [node for node in self.nodes if isinstance(getattr(node, "op", None), ast.Add)]
        is_added = any(is_mask(side, words) for node in sums for side in sides(node))
        other_uses = (
            [side for node in self.nodes if isinstance(node, ast.Compare) for side in compared(node)]
            + [node.operand for node in self.nodes if isinstance(node, ast.UnaryOp)]
            + [side for node in self.nodes if is_arithmetic(node) and node not in sums for side in sides(node)]
            + [argument for call in self._calls() if name_of(call.func) in _FILLS for argument in call.args]
            + [call.func for call in self._calls() if name_of(call.func) in _CONVERSIONS]
        )
        return is_added and not any(mentions(each, words) for each in other_uses)

    def takes_root_of_width(self) -> bool:
        """Whether the root of something that is called as a model's width is taken: C**-0.5, sqrt(d_model)."""
        return any(name_of(each) in _WIDTHS for root in self._roots() for each in ast.walk(root))

    def _roots(self) -> list[ast.expr]:
        """The expressions whose square root is taken."""
        return [
            node.left
            for node in self.nodes
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and ast.unparse(node.right) in _HALVES
        ] + [call.args[0] for call in self._calls() if name_of(call.func) in {"sqrt", "rsqrt"} and call.args]

    def scales_without_root(self) -> bool:
        """Whether a whole number of dimensions is all that can scale: no root, no power, no number, no library call."""
        powers = any(isinstance(getattr(node, "op", None), ast.Pow) for node in self.nodes)
        scalers = {"sqrt", "rsqrt", "pow", "norm", "scaled_dot_product_attention", "MultiheadAttention"}
        scalers -= {each.name for each in self._methods()}  # what the file defines is no library call
        return self.is_known and not (powers or self.calls(*scalers) or self.factors())

    def takes_root_of_tokens(self) -> bool:
        """Whether the root of axis 1 or -2 is taken: sqrt(q.shape[1]), or d = k.size(-2) and d ** 0.5."""
        roots = self._roots()
        names = {each.id for root in roots for each in ast.walk(root) if isinstance(each, ast.Name)}
        given = [node.value for node in self.nodes if isinstance(node, ast.Assign) and assigned_names([node]) & names]
        return any(is_size_of(each, {"1", "-2"}) for root in (*roots, *given) for each in ast.walk(root))

    def factors(self) -> set[float]:
        """The numbers that something is multiplied with or divided by, without their signs."""
        sides_of = [sides(node) for node in self.nodes if isinstance(getattr(node, "op", None), (ast.Mult, ast.Div))]
        numbers = [getattr(side, "operand", side) for found in sides_of for side in found]
        values = [number.value for number in numbers if isinstance(number, ast.Constant)]
        return {abs(float(value)) for value in values if isinstance(value, (int, float)) and value}

    def makes_scale_tensor(self) -> bool:
        """Whether torch.tensor(...) makes a tensor of a number, other than one that blocked scores are filled with."""
        made = [ast.unparse(call) for call in self._calls() if makes_one_number(call)]
        return not all("finfo" in text or ".inf" in text or "inf'" in text for text in made)

    def makes_float_mask(self) -> bool:
        """Whether a new tensor is made without saying its dtype, or a mask made float32, where something is added."""
        casts = (name_of(call.func) == "float" and mentions(call.func, ("mask",)) for call in self._calls())
        makes = any(is_fresh_float(call) for call in self._calls()) or any(casts)
        return makes and any(isinstance(getattr(node, "op", None), ast.Add) for node in self.nodes)

    def fills_a_new_tensor(self) -> bool:
        """Whether a tensor that is made without saying its dtype is filled: by a loop, or with a tensor as a cache."""
        return fills_fresh_tensors(self.nodes)

    def rotates(self) -> bool:
        """Whether it rotates query and key: by sines and cosines, in the file or of something called rotary or rope."""
        return self.makes_tables() or any(word in self.text.lower() for word in ("rotary", "rope", "rotate", "freqs"))

    def makes_tables(self) -> bool:
        """Whether sines and cosines are computed, as of rotary positions."""
        return self.calls("cos") and self.calls("sin")

    def makes_float_tables(self) -> bool:
        """Whether sines and cosines are computed, and not cast where they are."""
        return self.makes_tables() and leaves_tables(self.nodes)

    def imports(self, name: str) -> bool:
        """Whether a package of this name is imported."""
        return any(
            (isinstance(node, ast.Import) and any(each.name.split(".")[0] == name for each in node.names))
            or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == name)
            for node in self.nodes
        )

    def forgets_batch_first(self) -> bool:
        """Whether nn.MultiheadAttention is made or derived from, and batch_first is set nowhere."""
        makes = any(name_of(call.func) == "MultiheadAttention" for call in self._calls())
        derives = any(
            isinstance(node, ast.ClassDef) and any(name_of(base) == "MultiheadAttention" for base in node.bases)
            for node in self.nodes
        )
        return (makes or derives) and "batch_first" not in self.text

    def casts_up(self) -> bool:
        """Whether something is turned into float32 or float64: .float(), .to(torch.float32), dtype=torch.float32."""
        for call in self._calls():
            if name_of(call.func) in {"float", "double"} and isinstance(call.func, ast.Attribute) and not call.args:
                if not is_made_here(call.func.value):
                    return True
                continue
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            is_cast = name_of(call.func) in {"to", "softmax", "type", "sum", "matmul"}
            if is_cast and any(name_of(each) in {"float32", "float64", "float"} for each in given):
                return True
        return False

    def download_at_import(self) -> ast.Call | None:
        """The first call outside of functions that fetches something: from_pretrained, load_dataset, urlopen, ..."""
        for statement in self._tree.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and name_of(node.func) in _DOWNLOADS:
                    return node
        return None

    def helper_without_return(self) -> str | None:
        """The name of a function or method that returns no value although its result is used."""
        helpers = (node for node in self.nodes if isinstance(node, ast.FunctionDef) and node.name[:2] != "__")
        for node in helpers:
            is_used = self.calls(node.name) and not self.discards_result_of(node.name)
            if is_used and not any(gives_a_value(each) for each in ast.walk(node)):
                return node.name
        return None

    def selects_scores(self) -> bool:
        """Whether the largest of some numbers are looked for: topk, sort, max, ..."""
        return self.calls("topk", "kthvalue", "sort", "argsort", "msort", "quantile", "argmax", "max", "amax")

    def leaves_memory_unwritten(self) -> bool:
        """Whether a tensor is made without numbers: torch.empty(...), torch.Tensor(2, 3)."""
        return self.calls("empty", "empty_like", "new_empty", "empty_strided") or any(
            name_of(call.func) in {"Tensor", "FloatTensor"} and len(call.args) > 1 for call in self._calls()
        )

    def draws_random_numbers(self) -> bool:
        """Whether random numbers are drawn outside of a constructor; a new layer draws its weights."""
        return any(
            isinstance(node, ast.Call) and name_of(node.func) in _RANDOM
            for function in self._methods()
            for node in ast.walk(function)
        )

    def keeps_state(self) -> bool:
        """Whether a function changes what lives longer than its call: an attribute, a global, a default argument."""
        lasting = assigned_names(self._tree.body)
        for function in self._methods():
            if any(name_of(getattr(each, "func", each)) in {"cache", "lru_cache"} for each in function.decorator_list):
                return True
            names = lasting | mutable_defaults(function) | reread_attributes(function)
            if any(changes_lasting(node, names) for node in ast.walk(function)):
                return True
        return False

    def blocks_query_axis(self) -> bool:
        """Whether a mask gets a new last axis, so that it meets the queries: mask[:, None, :, None]."""
        return any(adds_last_axis(node) for node in self.nodes)

    def never_reads(self, *parameters: str) -> bool:
        """Whether a function that no other one calls takes one of these parameters and does nothing with it."""
        called = {name_of(each.func) for one in self._methods() for each in ast.walk(one) if isinstance(each, ast.Call)}
        for function in self._methods():
            given = {each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
            read = {each.id for each in ast.walk(function) if isinstance(each, ast.Name)}
            if len(given) > 2 and function.name not in called and (given & {*parameters}) - read:
                return True
        return False

    def unused_layers(self) -> list[str]:
        """The attributes that a constructor sets to a layer or parameters, and that nothing reads."""
        return unused_layers(self._tree)

    def cuts_off_weights(self) -> bool:
        """Whether a layer's weight or bias is read with .data or .detach(): F.linear(x, layer.weight.data)."""
        return any(
            isinstance(node, ast.Attribute)
            and node.attr in {"data", "detach"}
            and isinstance(node.value, ast.Attribute)
            and (node.value.attr.endswith(("weight", "bias")) or node.value.attr.lower().startswith("w_"))
            for node in self.nodes
        )

    def _methods(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Functions and methods but for constructors."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        return (node for node in self.nodes if isinstance(node, functions) and node.name != "__init__")

    def _calls(self) -> Iterator[ast.Call]:
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def fills(self) -> Iterator[float]:
        constants = {
            target.id: node.value
            for node in self.nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in self.nodes:
            candidates: list[ast.expr] = []
            if isinstance(node, ast.Call) and name_of(node.func) in _FILLS:
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
