"""Arguments for the constructor of a student's module: the usual sizes under the names of its parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.base import EvidenceValue
from pytest_attn_grader.submission.constructor_roles import (
    assign_sizes,
    choose_option,
    may_take_config,
    takes_layers,
    usual_words,
)
from pytest_attn_grader.submission.parameter_names import SCALES
from pytest_attn_grader.submission.remote.arguments import (
    ConfigObject,
    LayerObject,
    LiteralArgument,
    MadeArgument,
    ModuleArgument,
)
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter
from pytest_attn_grader.submission.rotary_modules import make_rotary_module, takes_rotary_module
from pytest_attn_grader.submission.size_names import DROPOUT_NAMES, OTHER_VALUES, SIZE_NAMES, other_value, roles_by_name

# The base of the paper and of most code.
_ROTARY_BASE = 10_000.0
# The longest text of a module that wants to know it.
CONTEXT_TOKENS = 1024


ConstructorArgument = LiteralArgument | ConfigObject | ModuleArgument | MadeArgument


@dataclass(frozen=True)
class Sizes:
    """The sizes at which a module is constructed. Widths are in features, `context_tokens` in tokens.

    Attributes:
        num_key_value_heads: heads of keys and values; None for one for every query head.
        rotary_base: base of the model's rotary positions; None when it has none.
        has_norms: whether the model's layer normalises query and key.
        sliding_window: how many keys a query sees in the model's layer; None for all of the past.
        is_causal: whether the model hides the future.
    """

    width: int
    num_heads: int
    head_dim: int
    context_tokens: int = CONTEXT_TOKENS
    dropout_p: float = 0.0
    num_key_value_heads: int | None = None
    rotary_base: float | None = None
    has_norms: bool = False
    sliding_window: int | None = None
    is_causal: bool = True


@dataclass(frozen=True)
class Arguments:
    """Keyword arguments of a constructor, plain values, a config object or a module, and how messages show them."""

    by_name: dict[str, ConstructorArgument]

    @property
    def key(self) -> str:
        """Tells two calls of a constructor apart."""
        return str(self.by_name)

    @property
    def shown(self) -> dict[str, EvidenceValue]:
        """As the report has them; a config object is shown by what is read from it."""
        return {
            name: value.value if isinstance(value, LiteralArgument) else f"({_described(value)})"
            for name, value in self.by_name.items()
        }

    def __str__(self) -> str:
        shown = [f"{name}={_shown(value)}" for name, value in self.by_name.items()]
        return ", ".join(shown)


def _described(argument: ConfigObject | ModuleArgument | MadeArgument) -> str:
    if isinstance(argument, MadeArgument):
        return f"a {argument.made} of {' x '.join(map(str, argument.shape))}"
    return "a config object" if isinstance(argument, ConfigObject) else f"an instance of {argument.module}"


def _shown(argument: ConstructorArgument) -> str:
    if isinstance(argument, MadeArgument):
        return f"({_described(argument)})"
    if isinstance(argument, ModuleArgument):
        values = ", ".join(f"{name}={value!r}" for name, value in argument.keywords.items())
        return f"{argument.module}({values})"
    return "config" if isinstance(argument, ConfigObject) else repr(argument.value)


def _steps(sizes: Sizes) -> frozenset[str]:
    """The sizes of the steps that the model's layer takes beside the formula."""
    taken = {
        "rotary_base": sizes.rotary_base is not None,
        "rotary": sizes.rotary_base is not None,
        "query_key_norm": sizes.has_norms,
        "sliding_window": sizes.sliding_window is not None,
    }
    return frozenset(role for role, is_taken in taken.items() if is_taken)


def arguments_for(candidate: Candidate, sizes: Sizes) -> Arguments:
    """Fill a constructor.

    Raises:
        SubmissionError: `no-target`, it asks for something the grader has no value for; the message names it.
    """
    values = {
        **_plain_values(sizes),
        "dropout": sizes.dropout_p,
        "flag": False,
        "scaled": True,
        "device": "cpu",
        "dtype": None,
        "temperature": sizes.head_dim**0.5,
    }
    filled: dict[str, ConstructorArgument] = {}
    unknown: list[Parameter] = []
    module = candidate.rotary_module
    for parameter, role in assign_sizes(candidate, _steps(sizes)):
        if role is None and (other := other_value(parameter.name)) is not None:
            filled[parameter.name] = LiteralArgument(other)
        elif role is None and module is not None and takes_rotary_module(parameter):
            width, context, base = sizes.width, sizes.context_tokens, sizes.rotary_base or _ROTARY_BASE
            filled[parameter.name] = make_rotary_module(
                module, width=width, head_dim=sizes.head_dim, context=context, base=base
            )
        elif role is None:
            unknown.append(parameter)
        elif role[:2] in {"w_", "b_"}:
            filled[parameter.name] = _projection(role, sizes, takes_layers(candidate))
        elif role == "causal" and candidate.given.startswith("triangle"):
            axes = (1, 1) if candidate.given == "triangle of four axes" else ()
            filled[parameter.name] = MadeArgument("triangle", (*axes, sizes.context_tokens, sizes.context_tokens))
        elif role == "option":
            filled[parameter.name] = LiteralArgument(choose_option(parameter, is_causal=sizes.is_causal))
        elif role == "config":
            filled[parameter.name] = config_object(sizes, _class_name(parameter))
        else:
            filled[parameter.name] = LiteralArgument(values[role])
    if sizes.num_key_value_heads is not None:
        # Also where the default is None, which stands for as many as there are query heads.
        named = roles_by_name([each.name for each in candidate.parameters])
        grouped = [name for name, role in named.items() if role == "key_value_heads"]
        filled |= {name: LiteralArgument(sizes.num_key_value_heads) for name in grouped}
    if candidate.given == "config":
        named_configs = [each for each in candidate.parameters if may_take_config(each)]
        filled |= {each.name: config_object(sizes, _class_name(each)) for each in named_configs}
    if unknown:
        raise SubmissionError(
            "no-target",
            f"{candidate.signature} cannot be constructed: the grader has no value for {_listed(unknown)}. It "
            "knows the width (d_model, embed_dim, n_embd, hidden_size, d_in, …), the heads (num_heads, n_head, h, …), "
            "head_dim, num_kv_heads, context_length, theta, dropout, bias, and a config object with these.",
            remedy=_remedy_for(unknown),
            where=None if candidate.file is None else f"{candidate.file}:{candidate.line}",
        )
    return Arguments(filled)


def _projection(role: str, sizes: Sizes, is_layer: bool) -> MadeArgument:
    """The argument of a constructor that is given its projections; a matrix has (in, out) features."""
    features = sizes.num_heads * sizes.head_dim
    fewer = (sizes.num_key_value_heads or sizes.num_heads) * sizes.head_dim
    outputs = {"q": features, "k": fewer, "v": fewer, "qkv": features + 2 * fewer, "o": sizes.width}[role[2:]]
    shape = (outputs,) if role.startswith("b_") else (features if role == "w_o" else sizes.width, outputs)
    return MadeArgument("linear" if is_layer and len(shape) == 2 else "parameter", shape)


def _listed(parameters: Sequence[Parameter]) -> str:
    return " and ".join(each.name for each in parameters)


def _remedy_for(unknown: Sequence[Parameter]) -> str:
    """The smallest change of a constructor that asks for unknown values."""
    names = _listed(unknown)
    if all(takes_rotary_module(each) for each in unknown):
        return f"Make {names} in __init__, from head_dim and theta, instead of taking what is made elsewhere."
    return f"Give {names} a default, or one of these names."


def _class_name(parameter: Parameter) -> str | None:
    """The class that an annotation names: `Config`, `"Config"`, `Optional[Config]`, `Config | None`."""
    words = re.findall(r"[A-Za-z_]\w*", parameter.annotation or "")
    return next((word for word in words if word not in {"Optional", "Union", "None", "typing", "Any"}), None)


def _plain_values(sizes: Sizes) -> dict[str, float | bool]:
    return {
        "width": sizes.width,
        "out": sizes.num_heads * sizes.head_dim,
        "heads": sizes.num_heads,
        "key_value_heads": sizes.num_key_value_heads or sizes.num_heads,
        "group_size": sizes.num_heads // (sizes.num_key_value_heads or sizes.num_heads),
        "rotary_base": sizes.rotary_base or _ROTARY_BASE,
        "head_dim": sizes.head_dim,
        "context": sizes.context_tokens,
        "bias": True,
        "causal": sizes.is_causal,
        "batch_first": True,
        "layer": 0,
        "query_key_norm": sizes.has_norms,
        "rotary": sizes.rotary_base is not None,
        "sliding_window": sizes.sliding_window or sizes.context_tokens,
    }


def config_object(sizes: Sizes, class_name: str | None = None) -> ConfigObject:
    """A configuration object that answers to every name in the table; `class_name` is the submission's own class."""
    known: dict[str, float | str | bool | None] = dict(OTHER_VALUES)
    for role, value in _plain_values(sizes).items():
        known |= dict.fromkeys(SIZE_NAMES[role], value)
    known |= dict.fromkeys(SIZE_NAMES["either"], sizes.head_dim)
    known |= dict.fromkeys(DROPOUT_NAMES, sizes.dropout_p)
    return ConfigObject(known, class_name, usual_words(is_causal=sizes.is_causal))


def layer_object(sizes: Sizes, *, training: bool) -> LayerObject:
    """A stand-in for the layer that calls a function: it answers to these names, and says how its scores are scaled."""
    scales = dict.fromkeys(SCALES, sizes.head_dim**-0.5)
    groups = _plain_values(sizes)["group_size"]
    known = {**config_object(sizes).config, **scales, "training": training, "num_key_value_groups": groups}
    return LayerObject(known)
