"""The sizes that the parameters of a student's constructor stand for, by name, default and annotation."""

from __future__ import annotations

import re

from pytest_attn_grader.submission.parameter_names import projection_role
from pytest_attn_grader.submission.remote.messages import Candidate, Given, Parameter
from pytest_attn_grader.submission.rotary_modules import takes_rotary_module
from pytest_attn_grader.submission.size_names import (
    guess_role_of_size,
    is_flag,
    other_value,
    role_of_size,
    roles_by_name,
)

_CONFIG_ENDINGS = ("config", "cfg", "args", "params", "options", "settings")
_OF_PROJECTION = re.compile(r"(?:^|_)(q|k|v|qk|query|key|value|queries|keys|values)(?:_|$)")
_GROUP_ROLES = frozenset({"key_value_heads", "group_size"})
# What code calls the attention without anything special, where it chooses between several.
_USUAL_OPTIONS = (
    "full", "vanilla", "standard", "naive", "base", "manual", "normal", "regular", "eager", "softmax", "scaled", "dot",
    "sdpa", "torch", "math", "none",
)  # fmt: skip
SIZE_ROLES = frozenset({"width", "out", "heads", "head_dim", "temperature", "config", "w_q", "w_qkv"})
_LAYER = re.compile(r"Linear|Module|layer|lin|fc|dense|net|proj")


def roles_of(candidate: Candidate) -> frozenset[str]:
    """The sizes that a constructor lets its caller choose."""
    return frozenset(role for _, role in assign_sizes(candidate) if role is not None)


def is_resizable(candidate: Candidate) -> bool:
    """Whether a module of any size can be made; else it has the size that its constructor gives it."""
    return candidate.kind == "module-class" and bool(roles_of(candidate) & SIZE_ROLES)


def splits_heads(candidate: Candidate) -> bool:
    """Whether the constructor takes a number of heads; else the module is taken for a single head."""
    return bool(roles_of(candidate) & {"heads", "config"})


def takes_groups(candidate: Candidate) -> bool:
    """Whether the constructor lets its caller choose the number of key/value heads, a config object apart."""
    return any(role_of_size(each.name) in _GROUP_ROLES for each in candidate.parameters)


def takes_dropout(candidate: Candidate) -> bool:
    """Whether the constructor takes a probability of dropout."""
    return any(role == "dropout" for _, role in assign_sizes(candidate))


def assign_sizes(candidate: Candidate, steps: frozenset[str] = frozenset()) -> list[tuple[Parameter, str | None]]:
    """Every parameter that the grader fills, with the size that it gets; None where nothing is known of it.

    Args:
        steps: the sizes of steps that the model's layer takes, so that the module takes them too: they are filled even
            where there is a default. With the base of a rotation goes the longest text.
    """
    named = roles_by_name([each.name for each in candidate.parameters])
    named |= _heads_and_their_size(candidate, named)
    named |= given_projections(candidate)
    has_width = "width" in named.values()
    if "rotary_base" in steps and "rotary_base" in named.values():
        steps |= {"context"}
    required = [each for each in candidate.parameters if not each.has_default and not each.kind.startswith("var-")]
    found: list[tuple[Parameter, str | None]] = []
    for parameter in candidate.parameters:
        role = named[parameter.name]
        if role == "either":
            role = "width" if has_width else "head_dim"
        if has_width and parameter.is_input_size and not parameter.has_default and role in {None, "head_dim"}:
            role = "width"  # kv_dim, where keys and values are projected from so many features
        if parameter.name.lower() == "query_dim" and not {"width", "out"} & {*named.values()}:
            role = "width"  # of the hidden states that queries are made of: a context may have another width
        if role == "scaled" and not _is_switch(parameter):
            role = None  # a number, which divides or multiplies
        if parameter.kind.startswith("var-"):
            continue
        if role is None and "context" in steps and guess_role_of_size(parameter.name) == "context":
            role = "context"  # rope_max_seq_len=None
        if parameter.has_default and role not in steps and _keeps_default(parameter, role):
            continue
        if role is None and text_options(parameter):
            role = "option"
        elif role is None and other_value(parameter.name) is None and not takes_rotary_module(parameter):
            role = _guess_role(parameter, is_only_one=len(required) == 1)
            is_number = role is None and parameter.annotation == "int" and "heads" in named.values()
            if (role == "width" or is_number) and has_width and _OF_PROJECTION.search(parameter.name.lower()):
                role = "head_dim"  # what query, key or value are projected to
        found.append((parameter, role))
    return _with_missing_size(found)


def given_projections(candidate: Candidate) -> dict[str, str]:
    """The parameters of a constructor that is given its projections, w_q, w_k, w_v: w_q, …, or b_q, … for each."""
    roles = {each.name: _role_of_given(each) for each in candidate.parameters if not each.has_default}
    found = {name: role for name, role in roles.items() if role is not None}
    return found if {"w_q", "w_k", "w_v"} <= {*found.values()} or "w_qkv" in found.values() else {}


def _role_of_given(parameter: Parameter) -> str | None:
    if parameter.annotation in {"int", "bool", "float", "str"} or parameter.is_input_size or parameter.is_factor:
        return None
    plain = re.sub(r"_?(linear|layer|lin|fc|dense|net)_?", "", parameter.name.lower().strip("_"))
    is_short = plain != parameter.name.lower() or _LAYER.search(parameter.annotation or "") is not None
    role = projection_role(plain) or (projection_role(f"w_{plain}") if is_short else None)
    return role if role is not None and role[:2] in {"w_", "b_"} else None


def other_ways_to_give(candidate: Candidate) -> tuple[Given, ...]:
    """Ways to try, beside the usual one, to give a constructor its projections, a mask or a configuration."""
    if given_projections(candidate):
        return ("matrices",) if takes_layers(candidate) else ("layers",)
    masks = [each for each, role in assign_sizes(candidate) if role == "causal" and not each.has_default]
    is_tensor = [each for each in masks if "mask" in each.name.lower() and each.annotation != "bool"]
    if is_tensor:
        return ("triangle", "triangle of four axes")
    return ("config",) if any(map(may_take_config, candidate.parameters)) else ()


def may_take_config(parameter: Parameter) -> bool:
    """Whether a parameter is a configuration that may be left out."""
    return role_of_size(parameter.name) == "config" and parameter.default == "None"


def takes_layers(candidate: Candidate) -> bool:
    """Whether the projections that a constructor is given are layers, by their annotations or names; else matrices."""
    named = given_projections(candidate)
    texts = [f"{each.annotation or ''} {each.name}" for each in candidate.parameters if each.name in named]
    return candidate.given == "layers" or (not candidate.given and any(map(_LAYER.search, texts)))


def _heads_and_their_size(candidate: Candidate, named: dict[str, str | None]) -> dict[str, str]:
    """Take two required sizes that are multiplied for the heads and their size: (count, size), not (size, heads)."""
    factors = [each for each in candidate.parameters if each.is_factor and not each.has_default]
    sizes = [each for each in factors if each.name.lower() in {"size", "dim"} and not each.is_input_size]
    counts = [each for each in factors if named[each.name] in {None, "heads"}]
    if len(factors) != 2 or len(sizes) != 1 or len(counts) != 1:
        return {}
    return {counts[0].name: "heads", sizes[0].name: "head_dim"}


def _with_missing_size(found: list[tuple[Parameter, str | None]]) -> list[tuple[Parameter, str | None]]:
    """Take the one parameter with an unknown name for the one size that is missing: the width or the heads."""
    unknown = [
        parameter
        for parameter, role in found
        if role is None
        and other_value(parameter.name) is None
        and (parameter.annotation or "int") == "int"
        and not takes_rotary_module(parameter)
    ]
    roles = {role for _, role in found}
    if unknown and not roles & SIZE_ROLES and all(_OF_PROJECTION.search(each.name.lower()) for each in unknown):
        # (q_size, v_size) of one head: what is projected has the same width.
        return [(parameter, "width" if parameter in unknown else role) for parameter, role in found]
    missing = {"width", "heads"} - roles
    if len(unknown) != 1 or len(missing) != 1 or roles & {"config", "head_dim"}:
        return found
    return [(parameter, missing.copy().pop() if parameter in unknown else role) for parameter, role in found]


def text_options(parameter: Parameter) -> tuple[str, ...]:
    """The texts that a parameter may be: those of its annotation, else those with which the code compares it."""
    listed = re.findall(r"""Literal\[[^]]*\]""", parameter.annotation or "")
    return tuple(re.findall(r"""["']([^"']*)["']""", "".join(listed))) or parameter.choices


def choose_option(parameter: Parameter, *, is_causal: bool = True) -> str:
    """The text that stands for the usual attention, which hides the future where the model does; else the first."""
    options = text_options(parameter)
    usual = usual_words(is_causal=is_causal)
    return next((option for word in usual for option in options if word in option.lower()), options[0])


def usual_words(*, is_causal: bool) -> tuple[str, ...]:
    """Words in the texts that choose the usual attention, the most telling first."""
    return (*(("causal", "mask") if is_causal else ()), *_USUAL_OPTIONS)


def _keeps_default(parameter: Parameter, role: str | None) -> bool:
    """An argument keeps its default unless a size, a dropout or a switch of the attention is settled by it.

    None means "work it out" or "without it", and a temperature is 1 where nothing is to be changed. Norms and rotations
    that are on are switched off, where the model has none.
    """
    kept = {None, "temperature", "layer", "device", "dtype", "rotary_base", "group_size", "sliding_window"}
    if role == "key_value_heads" and "head" in parameter.name.lower():
        return False  # its None may stand for fewer heads than there are queries
    if role in kept or parameter.default == "None":
        return True
    if role in {"query_key_norm", "rotary"}:
        return parameter.default != "True"
    return role == "causal" and not _is_switch(parameter)


def _is_switch(parameter: Parameter) -> bool:
    return parameter.annotation == "bool" or parameter.default in {"True", "False"}


def _guess_role(parameter: Parameter, *, is_only_one: bool) -> str | None:
    """Guess the role of a required parameter with an unknown name from its annotation or the words in its name."""
    annotation = parameter.annotation or ""
    if annotation == "bool" or is_flag(parameter.name):
        return "flag"
    if annotation.rstrip("'\"").lower().endswith(_CONFIG_ENDINGS):
        return "config"
    guessed = guess_role_of_size(parameter.name)
    if guessed is not None and annotation in {"", "int"}:
        return guessed
    # A config is no number of features and nothing that is multiplied.
    is_number = annotation in {"int", "float", "str"} or parameter.is_input_size or parameter.is_factor
    return "config" if is_only_one and not is_number else None
