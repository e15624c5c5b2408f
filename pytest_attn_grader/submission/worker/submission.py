"""Import the submission once and describe what it defines. Part of the worker."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

from . import failures
from .choices import choices_in, factors_in, input_sizes_in, options_in, switches_in, tree_of
from .global_state import restored
from .inspection import (
    call_of_autograd_function,
    fields_of,
    forward_of,
    is_autograd_function,
    names_in_code,
    parameters_of,
    unwrap,
)
from .loading import Loader

MAX_CANDIDATES = 100
_CONFIG_ENDINGS = ("Config", "Cfg", "Args", "Params", "HParams", "Settings", "Options")


class Submission:
    """One submission, imported at most once; a failed import fails again in the same way.

    Another file or module may be described after it: what is resolved by name is in the one described last.
    """

    def __init__(self, root: Path, live: ModuleType | None = None) -> None:
        self.root = root
        self._live = live
        self._module: ModuleType | None = None
        self._changed_state: dict[tuple[str | None, str | None], list[str]] = {}
        self._imported: dict[tuple[str | None, str | None], ModuleType | BaseException] = {}
        self._left_out: dict[str, str] = {}

    def describe(self, header: dict[str, Any]) -> dict[str, Any]:
        """Import what the header names; say what it holds and, when a name is given, check that it is there."""
        place = (header["path"], header["module"])
        module = self._import(*place, header["name"], definitions_only=header["definitions_only"])
        candidates = self._candidates(module)
        names = [candidate["name"] for candidate in candidates]
        name: str | None = header["name"]
        target: object = None
        if name is not None:
            target = self._find(name, names)
            if name not in names:
                candidates.append(self._candidate(name, target))
        elif len(names) == 1:
            name = names[0]
            target = self.resolve(name)
        convention = getattr(target, "ATTN_MASK", None)
        if convention is None:
            convention = getattr(module, "ATTN_MASK", None)
        return {
            "name": name,
            "candidates": candidates,
            "mask_convention": None if convention is None else failures.truncate(convention, 80),
            "files": self._files(),
            "transformers_imported": "transformers" in sys.modules,
            "changed_state": sorted(set(self._changed_state.get(place, ()))),
            "left_out": self._left_out.get(module.__name__),
            "imported_modules": self._imported_modules(module),
        }

    def resolve(self, name: str) -> Any:
        """Return the named thing of the imported module; dots reach into classes."""
        if self._module is None:
            raise failures.WorkerError(
                "malformed-reply", "the submission was asked for something before it was imported"
            )
        found: Any = self._module
        for part in name.split("."):
            found = getattr(found, part)
        return call_of_autograd_function(found) if is_autograd_function(found) else found

    @property
    def switches(self) -> frozenset[str]:
        """The names that the submission only tests for being true."""
        assert self._module is not None
        return frozenset(switches_in(tree_of(self._module)))

    def choose_options(self, words: Sequence[str]) -> dict[str, str]:
        """Choose one of the texts with which a name is compared: the first of these words that is in one settles it."""
        assert self._module is not None
        options = options_in(tree_of(self._module)).items()
        return {
            name: next(text for word in words for text in texts if word in text.lower())
            for name, texts in options
            if any(word in text.lower() for word in words for text in texts)
        }

    def find_class(self, name: str | None) -> object:
        """Return the class of this name, or the only configuration class that it defines; None when there is none."""
        assert self._module is not None
        defined = vars(self._module)
        found = None if name is None else defined.get(name)
        if name is None:
            configs = [
                each for key, each in defined.items() if isinstance(each, type) and key.endswith(_CONFIG_ENDINGS)
            ]
            found = configs[0] if len(configs) == 1 and configs[0].__module__ == self._module.__name__ else None
        return found if isinstance(found, type) and found.__module__ not in {"builtins", "typing"} else None

    def _find(self, name: str, names: list[str]) -> object:
        assert self._module is not None
        try:
            found: object = self.resolve(name)
        except AttributeError:
            there = names or [known for known in vars(self._module) if not known.startswith("_")]
            close = difflib.get_close_matches(name, there, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            listed = f"It has {', '.join(there[:20])}." if there else "It has nothing that could be graded."
            raise failures.WorkerError(
                "no-target",
                f"There is no {name!r} in {self._label()}.{hint} {listed}",
                remedy="Name one of those after the colon, or rename your function.",
            ) from None
        if not callable(found):
            raise failures.WorkerError(
                "no-target",
                f"{name!r} in {self._label()} is {failures.with_article(type(found).__name__)}; it cannot be called.",
                remedy="Name a function, or a torch.nn.Module.",
            )
        return found

    def _import(self, path: str | None, name: str | None, target: str | None, *, definitions_only: bool) -> ModuleType:
        self._module = self._live
        if self._live is not None:
            return self._live
        known = self._imported.get((path, name))
        if known is None:
            try:
                with restored(self._changed_state.setdefault((path, name), [])):
                    loader = Loader(target, definitions_only=definitions_only, left_out=self._left_out)
                    known = loader.load(path, name)
            except BaseException as error:  # noqa: BLE001 - kept whatever it is (SystemExit too) and raised below
                known = error
            self._imported[path, name] = known
        if isinstance(known, BaseException):
            raise known
        self._module = known
        return known

    def _label(self) -> str:
        assert self._module is not None
        file = getattr(self._module, "__file__", None)
        return Path(file).name if isinstance(file, str) else self._module.__name__

    def _candidates(self, module: ModuleType) -> list[dict[str, Any]]:
        chosen: dict[int, tuple[str, object]] = {}
        defined = list(vars(module).items())
        for name, value in defined:  # which grows
            if name.startswith("_") or not _is_defined_in(value, module):
                continue
            if isinstance(value, type):
                inner = [(f"{name}.{key}", each) for key, each in vars(value).items() if not key.startswith("_")]
                defined += [(key, each) for key, each in inner if _is_nested(each, key)]
            # One object under two names is listed once, under its own name if that is one of them.
            if id(value) not in chosen or getattr(value, "__name__", None) == name:
                chosen[id(value)] = (name, value)
        described = [self._candidate(name, value) for name, value in list(chosen.values())[:MAX_CANDIDATES]]
        nested = [each["name"] for each in described if "." in each["name"]]
        registries = {key: _registered_in(value, module) for key, value in vars(module).items()}
        used_by = {each["name"]: each["uses"] for each in described}
        for candidate in described:
            uses = candidate["uses"]
            candidate["uses"] = uses + [name for name in nested if name.rpartition(".")[2] in uses]
            # BACKENDS[name](q, k, v), also where a function looks it up
            read = {*uses}.union(*(used_by.get(name, ()) for name in uses))
            candidate["uses"] += [name for key in registries if key in read for name in registries[key]]
        return described

    def _imported_modules(self, module: ModuleType) -> list[dict[str, Any]]:
        """Describe the classes of modules that come from other files of the submission."""
        found = [
            (name, value)
            for name, value in list(vars(module).items())
            if isinstance(value, type) and issubclass(value, torch.nn.Module) and value.__module__ != module.__name__
        ]
        return [self._candidate(name, value) for name, value in found if self._is_own(value)][:MAX_CANDIDATES]

    def _is_own(self, value: type) -> bool:
        file = getattr(sys.modules.get(value.__module__), "__file__", None)
        return isinstance(file, str) and failures.is_student_file(file, self.root)

    def _candidate(self, name: str, value: Any) -> dict[str, Any]:
        called = forward_of(value) if isinstance(value, torch.nn.Module) or is_autograd_function(value) else value
        file, line = _place(value)
        described: dict[str, Any] = {
            "name": failures.truncate(name, 200),
            "kind": _kind(value),
            "parameters": parameters_of(called),
            "line": line,
            "file": None if file is None else failures.relative_to(file, self.root),
        }
        if described["kind"] == "module-class":
            described["forward_parameters"] = parameters_of(forward_of(value))
            tree = tree_of(value)  # once: to find a class, its whole file is parsed
            choices, inputs, factors = choices_in(tree), input_sizes_in(tree), factors_in(tree)
            for parameter in described["parameters"]:
                parameter["is_input_size"] = parameter["name"] in inputs
                parameter["is_factor"] = parameter["name"] in factors
            for parameter in (*described["parameters"], *described["forward_parameters"]):
                parameter["choices"] = choices.get(parameter["name"], [])
        if described["kind"] == "module-instance":
            described["class_name"] = failures.truncate(type(value).__name__, 200)
        described["uses"] = names_in_code(value)
        if described["kind"] == "class":
            described["fields"] = fields_of(value)
        return described

    def _files(self) -> list[str]:
        found = set()
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and failures.is_student_file(file, self.root):
                found.add(failures.relative_to(file, self.root))
        return sorted(found)[:500]


def _is_defined_in(value: object, module: ModuleType) -> bool:
    if isinstance(value, ModuleType) or not callable(value):
        return False
    if isinstance(value, torch.nn.Module) and type(value).__module__.startswith("torch.nn.modules."):
        # A layer that the file has made to try something out: nn.Embedding, nn.Linear, …
        return isinstance(value, torch.nn.MultiheadAttention)
    if isinstance(value, (torch.nn.Module, functools.partial, torch.jit.ScriptFunction)):
        # An instance does not know where it was made.
        return True
    owner = value if isinstance(value, (type, FunctionType)) or hasattr(value, "__wrapped__") else type(value)
    return getattr(owner, "__module__", None) == module.__name__


def _registered_in(value: object, module: ModuleType) -> list[str]:
    """Return the names of the module's functions that a dictionary keeps: a registry of several ways to attend."""
    functions = [each for each in value.values() if isinstance(each, FunctionType)] if isinstance(value, dict) else []
    return [each.__name__ for each in functions if vars(module).get(each.__name__) is each]


def _is_nested(value: object, name: str) -> bool:
    """Tell whether a value is a module that is defined in the body of another class."""
    return isinstance(value, type) and issubclass(value, torch.nn.Module) and value.__qualname__ == name


def _kind(value: object) -> str:
    if is_autograd_function(value):
        return "function"
    if isinstance(value, torch.nn.Module):
        return "module-instance"
    if isinstance(value, type):
        return "module-class" if issubclass(value, torch.nn.Module) else "class"
    return "function" if inspect.isroutine(value) or hasattr(value, "__wrapped__") else "callable"


def _place(value: Any) -> tuple[str | None, int | None]:
    shown = type(value) if isinstance(value, torch.nn.Module) else inspect.unwrap(unwrap(value))
    code = getattr(shown, "__code__", None)
    if code is not None:
        return str(code.co_filename), int(code.co_firstlineno)
    try:
        return inspect.getsourcefile(shown), inspect.getsourcelines(shown)[1]
    except (OSError, TypeError):
        return None, None
