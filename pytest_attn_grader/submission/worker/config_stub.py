"""A stand-in for the configuration object of a submission's constructor. Part of the worker.

Courses pass sizes in an object (a dataclass, a dict, a SimpleNamespace). The submission may not define its class. The
stand-in answers to all the usual names, by attribute and by key, and remembers which were read. Where the submission
defines the class of its configuration, an instance of it answers to everything else.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
import inspect
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch

from .inspection import names_read_from

# Of many names that mean the same, one each, for a message.
COMMON_NAMES = ("n_embd", "d_model", "hidden_size", "n_head", "num_heads", "head_dim", "block_size", "dropout", "bias")
# A switch that is not known here is off.
_FLAG = re.compile(
    r"(use|is|enable|with|do|apply|has|log)_\w+|\w*(flash|lora|xformers|quanti[sz]e|verbose|debug|compile|checkpointing)\w*"
)
# A part of a configuration, as in config.model.attention.num_heads: it answers to the same names.
_PART = re.compile(
    r"(self_?|causal_?|multi_?head_?|cross_?)*(attention|attn)|mha|mhsa|model|transformer|gpt|bert|encoder|decoder|"
    r"arch(itecture)?|net(work)?|backbone|block|sizes|dims|(model|attn|attention|transformer)_?(config|cfg|args|params)"
)


class Config(Mapping[str, Any]):
    """Names and values; a name that is not there raises `AttributeError` or `KeyError`, which says what is there."""

    def __init__(self, values: dict[str, Any], instance: object = None, fillers: Collection[str] = ()) -> None:
        """Take the values, an instance that has more of them, and the names that were filled in there."""
        self.__dict__["_values"] = dict(values)
        self.__dict__["_fillers"] = frozenset(fillers)
        self.__dict__["_instance"] = instance
        self.__dict__["_read"] = {}
        self.__dict__["_switches"] = frozenset()
        self.__dict__["_options"] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(self._missing(name), name=name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(self._missing(name), name=name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        instance, known = self.__dict__["_instance"], _known_name(name, self._values)
        if name in self._fillers and not isinstance(getattr(instance, name, None), bool):
            raise KeyError(self._missing(name))
        if instance is not None and hasattr(instance, name):
            value = getattr(instance, name)
            if isinstance(value, float) and "drop" in str(name).lower():
                # resd_pdrop: every probability is the grader's
                value = self._values.get(name, self._values.get("dropout", value))
        elif known is not None:
            value = self._values[known]
        elif _FLAG.fullmatch(str(name).lower()):
            value = False
        elif name in self._switches:
            # Whatever it is called, it is only tested. The scaling and the mask are parts of the attention.
            value = "scal" in name.lower() or ("mask" in name.lower() and bool(self._values.get("causal")))
        elif name in self._options:
            value = self._options[name]
        elif "drop" in str(name).lower() and "dropout" in self._values:
            value = self._values["dropout"]
        elif _PART.fullmatch(str(name).lower()):
            return self
        else:
            raise KeyError(self._missing(name))
        self._read[name] = self._read[known or name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a name that is known, else the default: a switch that is not known keeps its own."""
        return self[name] if name in self else default  # noqa: SIM401 - this is get

    def __contains__(self, name: object) -> bool:
        return name not in self._fillers and (name in self._values or hasattr(self.__dict__["_instance"], str(name)))

    def _missing(self, name: str) -> str:
        close = difflib.get_close_matches(str(name), self._values, n=3, cutoff=0.5)
        hint = f" Close to it: {', '.join(close)}." if close else ""
        usual = ", ".join(each for each in COMMON_NAMES if each in self._values)
        return (
            f"the grader's config has no {str(name)[:80]!r}.{hint} It answers to {usual} and "
            f"{len(self._values)} names in all."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _known_name(name: str, values: Mapping[str, Any]) -> str | None:
    """Return a name as it is known, in lower case, or without the first words, which say what it is the size of."""
    words = _plain(name).split("_")
    endings = ("_".join(words[start:]) for start in range(1, len(words) - 1))  # of two words at least
    return next((each for each in (name, _plain(name), *endings) if each in values), None)


def _plain(name: str) -> str:
    """Return n_embd for N_EMBD and nEmbd, d for D."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()


def _renamed(own_class: type, parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for whole numbers of a class that it writes in another way, as D and N_HEADS."""
    defaults = {name: each.default for name, each in parameters.items()}
    declared = {name: getattr(own_class, name, inspect.Parameter.empty) for name in dir(own_class)} | defaults
    return {
        name: values[_plain(name)]
        for name, default in declared.items()
        if name not in values
        and _plain(name) in values
        and (type(default) is int or default is inspect.Parameter.empty)
    }


def _prefixed(names: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for names such as decoder_embed_dim, where decoder_num_heads is among them."""
    parts = {name: known for name in names if (known := _known_name(name, values)) is not None}
    prefixes = {name.removesuffix(known) for name, known in parts.items() if known.endswith(("head", "heads"))}
    return {name: values[known] for name, known in parts.items() if name.removesuffix(known) in prefixes}


def make_config(values: dict[str, Any], own_class: object) -> Config:
    """Make a configuration object with these values, on an instance of the submission's own class if it has one."""
    if not isinstance(own_class, type):
        return Config(values)
    try:
        parameters = _parameters_of(own_class)
    except (TypeError, ValueError):
        return Config(values)
    known = values | _prefixed(parameters, values) | _renamed(own_class, parameters, values)
    given = {name: known[name] for name in parameters if name in known}
    missing = {name: each for name, each in parameters.items() if name not in given and _is_required(each)}
    fillers = {name: _filler(each.annotation, values) for name, each in missing.items()}
    given |= fillers
    instance = own_class(**given)
    derived = _derived_names(own_class, given, instance)
    for name, value in known.items():
        if hasattr(instance, name) and name not in derived:
            # A property, or a frozen dataclass: it has been given its values already.
            with contextlib.suppress(AttributeError, TypeError):
                setattr(instance, name, value)
    parts = {name: value for name, value in fillers.items() if isinstance(value, Config)}
    config = Config(values, instance, fillers.keys() - parts.keys())
    for part in parts.values():
        part.__dict__["_read"] = config.__dict__["_read"]  # what is read from a part is read from the whole
    return config


def _parameters_of(own_class: type) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(own_class, eval_str=True).parameters
    except Exception:  # noqa: BLE001 - a name in an annotation may be anything that is not there
        return inspect.signature(own_class).parameters


def _is_required(parameter: inspect.Parameter) -> bool:
    can_be_given = parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    return can_be_given and parameter.default is parameter.empty


def _filler(annotation: Any, values: Mapping[str, Any]) -> Any:
    """Return a value of the annotated type, for a field that other parts of a model need and attention does not."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return None if type(None) in arguments else _filler(arguments[0], values)
    if origin is typing.Literal:
        return arguments[0]
    kind = origin or annotation
    if kind in {float, str, bool, list, dict, tuple, set}:
        return 1.0 if kind is float else kind()
    if isinstance(kind, type) and kind not in {int, inspect.Parameter.empty, object}:
        if issubclass(kind, enum.Enum):
            return next(iter(kind))
        return torch.float32 if kind is torch.dtype else make_config(dict(values), kind)
    return 1


def _derived_names(own_class: type, given: dict[str, Any], instance: object) -> set[str]:
    """Return the attributes that the class works out of its arguments: those that change with one of them."""
    own = vars(instance) if hasattr(instance, "__dict__") else {}
    derived = set()
    for name, value in given.items():
        if type(value) is not int:
            continue
        try:
            other = vars(own_class(**{**given, name: 2 * value}))
        except Exception:  # noqa: BLE001 - sizes that do not go together may be refused in any way
            continue
        derived |= {each for each in own.keys() - given.keys() if each in other and _differ(own[each], other[each])}
    return derived


def _differ(one: object, other: object) -> bool:
    return isinstance(one, (bool, int, float)) and one != other


def read_keys(config: Config, made: object) -> dict[str, Any]:
    """Return what a constructor read, as plain values, and what the object reads later, where it keeps the config."""
    plain = (bool, int, float, str, type(None))
    kept_as = {name for name, value in getattr(made, "__dict__", {}).items() if value is config}
    for name in names_read_from(type(made), kept_as) if kept_as else ():
        if name in config:
            config._read.setdefault(name, config[name])
    return {name: value if isinstance(value, plain) else str(value)[:80] for name, value in config._read.items()}
