"""Signatures, names and fields of what a submission defines, as plain data. Part of the worker."""

from __future__ import annotations

import dis
import functools
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from itertools import islice, pairwise
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from . import failures

MAX_NAMES = 500
# The tokens of the longest text for which a class gets room where a constant of its file says how many there are.
LONGEST_TEXT = 1024
_LENGTH = re.compile(r"(?:^|_)(?:max|len|length|seq|sequence|ctx|context|block|positions?)(?:_|$)|(?:max|seq)_?len")
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional-only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional-or-keyword",
    inspect.Parameter.KEYWORD_ONLY: "keyword-only",
    inspect.Parameter.VAR_POSITIONAL: "var-positional",
    inspect.Parameter.VAR_KEYWORD: "var-keyword",
}


def unwrap(called: Any) -> Any:
    """Return the function that decorators have left behind *args, also where they do not name it in `__wrapped__`."""
    if isinstance(called, MethodType):
        return MethodType(unwrap(called.__func__), called.__self__)
    found = inspect.unwrap(called)
    if not isinstance(found, FunctionType) or not found.__code__.co_flags & inspect.CO_VARARGS:
        return called
    try:
        kept = [cell.cell_contents for cell in found.__closure__ or ()]
    except ValueError:  # a cell that is filled later
        return called
    inside = [each for each in kept if isinstance(each, FunctionType)]
    return unwrap(inside[0]) if len(inside) == 1 else called


def parameters_of(called: Any) -> list[dict[str, Any]]:
    try:
        signature = inspect.signature(unwrap(called))
    except (TypeError, ValueError):
        # Builtins and scripted functions have no signature: they may take anything.
        signature = inspect.signature(lambda *args, **kwargs: None)
    return [
        {
            "name": failures.truncate(parameter.name, 200),
            "kind": _KINDS[parameter.kind],
            "default": None if parameter.default is parameter.empty else failures.safe_repr(parameter.default, 200),
            "has_default": parameter.default is not parameter.empty,
            "annotation": _annotation(parameter),
        }
        for parameter in list(signature.parameters.values())[:50]
    ]


def _annotation(parameter: inspect.Parameter) -> str | None:
    if parameter.annotation is parameter.empty:
        return None
    annotation = parameter.annotation
    name = annotation.__name__ if isinstance(annotation, type) else annotation
    return name[:200] if isinstance(name, str) else failures.safe_repr(name, 200)


def is_autograd_function(value: object) -> bool:
    """Whether it is a torch.autograd.Function, which is called by its apply."""
    return isinstance(value, type) and issubclass(value, torch.autograd.Function)


def call_of_autograd_function(function: Any) -> Callable[..., Any]:
    """Return its apply, which knows neither names nor defaults, as a function of the parameters of its forward."""
    signature = inspect.signature(forward_of(function))

    def call(*arguments: Any, **named: Any) -> Any:
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        return function.apply(*bound.args)

    return call


def forward_of(module: Any) -> Any:
    """Return what a module, its class or an autograd function is called by: its forward, or a __call__ in its place."""
    if is_autograd_function(module):
        makes_context = module.setup_context is torch.autograd.Function.setup_context
        return functools.partial(module.forward, None) if makes_context else module.forward
    owner = module if isinstance(module, type) else type(module)
    return module.__call__ if getattr(owner, "forward", None) is torch.nn.Module.forward else module.forward


def names_in_code(value: Any) -> list[str]:
    """Return the names that the code of a function, or of a class's methods, refers to."""
    names: set[str] = set()
    for code in _codes_of(value):
        names.update(code.co_names)
        if len(names) >= MAX_NAMES:
            break
    return [failures.truncate(name, 200) for name in sorted(names)[:MAX_NAMES]]


def names_read_from(value: type, objects: Collection[str]) -> list[str]:
    """Return the attributes and keys that a class's methods read from objects of these names: self.config.n_head."""
    names: set[str] = set()
    for code in _codes_of(value):
        steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
        names.update(
            step.argval
            for before, step in pairwise(steps)
            if before.opname.startswith("LOAD_") and before.argval in objects and isinstance(step.argval, str)
        )
    return sorted(names)


def _codes_of(value: Any) -> Iterator[CodeType]:
    methods = vars(value).values() if isinstance(value, type) else [value]
    codes = [code for method in methods if (code := getattr(inspect.unwrap(unwrap(method)), "__code__", None))]
    while codes:
        code = codes.pop()
        yield code
        codes.extend(const for const in code.co_consts if isinstance(const, CodeType))


def globals_in_code(value: type) -> dict[str, Any]:
    """Return the values of the module's names in the code of a class: its sizes may be constants of the file."""
    known = vars(sys.modules[value.__module__]) if value.__module__ in sys.modules else {}
    return {name: known[name] for name in names_in_code(value) if name in known}


def lengthen_texts(value: type) -> dict[str, int]:
    """Raise the constants of a module of which its classes make a triangle when they are constructed, as block_size."""
    known = vars(sys.modules[value.__module__]) if value.__module__ in sys.modules else {}
    raised: dict[str, int] = {}
    for each in list(known.values()):
        is_here = isinstance(each, type) and each.__module__ == value.__module__
        code = getattr(vars(each).get("__init__"), "__code__", None) if is_here else None
        if code is not None and {"tril", "triu"} & {*code.co_names}:
            names = [name for name in code.co_names if _LENGTH.search(name.lower()) and type(known.get(name)) is int]
            raised |= {name: LONGEST_TEXT for name in names if known[name] < LONGEST_TEXT}
    known.update(raised)
    return raised


def fields_of(value: type) -> list[str]:
    """Return the attributes that a configuration class declares."""
    declared = [*getattr(value, "__annotations__", {}), *vars(value)]
    return [failures.truncate(name, 200) for name in dict.fromkeys(declared) if not name.startswith("_")][:MAX_NAMES]


def surroundings_of(module: torch.nn.Module) -> dict[str, Any]:
    """Return what else says how a module is built: its sizes, its own loader, and what torch does not know of."""
    public = {name: value for name, value in list(vars(module).items())[:200] if not name.startswith("_")}
    numbers = {**globals_in_code(type(module)), **public}.items()
    sizes = {
        failures.truncate(name, 80): value for name, value in numbers if type(value) is int and abs(value) < 1 << 31
    }
    hidden = [
        failures.truncate(name, 80)
        for name, value in public.items()
        if isinstance(value, Tensor)
        or (isinstance(value, (list, tuple)) and any(isinstance(item, (torch.nn.Module, Tensor)) for item in value))
    ]
    return {
        "sizes": sizes,
        "unregistered": hidden,
        "has_loader": callable(getattr(module, "load_projections", None)),
        "shared": _shared_names(module),
    }


def _shared_names(module: torch.nn.Module) -> list[list[str]]:
    """Return the names of every parameter that the module holds under several."""
    names: dict[int, list[str]] = {}
    for name, parameter in islice(module.named_parameters(remove_duplicate=False), 2000):
        names.setdefault(id(parameter), []).append(failures.truncate(name, 200))
    return [each[:50] for each in names.values() if len(each) > 1]
