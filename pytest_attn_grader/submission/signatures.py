"""Signatures, as the worker reports them, and which of the grader's values goes into which parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from pytest_attn_grader.submission.constructor_roles import text_options
from pytest_attn_grader.submission.function_names import GROUP_ROLES, is_layer, reads_groups, role_in_function
from pytest_attn_grader.submission.key_texts import assign_key_text, takes_key_text
from pytest_attn_grader.submission.parameter_names import (
    CACHES,
    CAPS,
    CAUSAL_FLAGS,
    NEVER_A_MASK,
    TABLES,
    hidden_states_role,
    longer_projection_role,
    projection_role,
    role_of,
    rotary_role,
)
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter
from pytest_attn_grader.submission.size_names import is_flag, role_of_size

Notes = tuple[tuple[str, str], ...]
MASK_ROLES = frozenset({"mask", "key_padding_mask", "valid_lens"})
_TENSOR_ROLES = MASK_ROLES | {"query", "key", "value", "hidden_states"}
_NUMBER = re.compile(r"-?\d+(\.\d*)?(e-?\d+)?|-?inf", re.IGNORECASE)


@dataclass(frozen=True)
class Slot:
    """One parameter and the role of the value that is passed for it.

    `role` is query, key, value, mask, key_padding_mask, valid_lens, dropout_p or training; head_dim; block_size; heads
    and one of `GROUP_ROLES`; layer, an object that has these; scale; factor (1/sqrt(head_dim)) and divisor; with hidden
    states also hidden_states and return_weights, with projections also w_q, b_q, …, w_o, num_heads, width, context and
    rotary_base. A switch is causal (on) or off, and what is needed but stands for nothing is none; a text that is one
    of several is option.
    """

    role: str
    parameter: str
    by_position: bool


def assign_roles(candidate: Candidate) -> tuple[tuple[Slot, ...], Notes]:
    """Roles by name where the names say so, otherwise by position: query, key, value, mask."""
    notes: list[tuple[str, str]] = []
    named = _named_roles(candidate, role_in_function)
    named |= {
        name: "heads"
        for name, role in named.items()
        if role is None and len(name) > 1 and role_of_size(name) == "heads"
    }
    if {"query", "key", "value"} <= set(named.values()):
        named |= {
            each.name: role
            for each in candidate.parameters
            if named[each.name] is None and not each.has_default and (role := rotary_role(each.name)) in TABLES
        }
    for parameter in candidate.parameters:
        if named[parameter.name] is None and is_layer(parameter):
            named[parameter.name] = "layer"
            notes.append(("layer", f"{parameter.name} is passed as an object that has the sizes of the layer"))
    if any(parameter.kind == "var-positional" for parameter in candidate.parameters):
        return _assign_any(candidate, named)
    if not {"query", "key", "value"} <= set(named.values()):
        nameless = [
            parameter.name
            for parameter in candidate.parameters
            if parameter.takes_position and named[parameter.name] in {None, "query", "key", "value"}
        ]
        # a helper that rotates takes tables, and is not an attention whatever its arguments are called
        rotates = any(rotary_role(parameter.name) for parameter in candidate.parameters)
        sized = _takes_sizes([each for each in candidate.parameters if each.name in nameless[:3]])
        if len(nameless) >= 3 and not rotates and not sized and not any(named[name] for name in nameless[:3]):
            named.update(zip(nameless, ("query", "key", "value"), strict=False))
            notes.append(("by-position", f"{', '.join(nameless[:3])} were taken as query, key, value"))
    if not MASK_ROLES & set(named.values()):
        after = [
            parameter
            for parameter in candidate.parameters
            if named[parameter.name] is None
            and parameter.takes_position
            and not _is_number(parameter)
            and (not parameter.has_default or parameter.default == "None")
        ]
        if len(after) == 1:
            named[after[0].name] = "mask"
            notes.append(("mask-by-position", f"{after[0].name} was taken as the mask"))
    slots, all_notes = _slots(candidate, named, notes)
    sharing = GROUP_ROLES | ({"layer"} if reads_groups(candidate) else set())
    groups = [slot.parameter for slot in slots if slot.role in sharing]
    if groups:
        why = f"it takes {', '.join(groups)}: keys and values are passed with as many heads as the model has of them"
        all_notes = (*all_notes, ("groups", why))
    return slots, all_notes


def _named_roles(candidate: Candidate, role_in: Callable[[str], str | None]) -> dict[str, str | None]:
    """Roles by name, each role once: of two parameters that could be the key, the first is."""
    named: dict[str, str | None] = {}
    for parameter in candidate.parameters:
        role = None if parameter.kind.startswith("var-") else role_in(parameter.name)
        if (role in _TENSOR_ROLES and role in named.values()) or (role in MASK_ROLES and _is_plain(parameter)):
            role = None
        named[parameter.name] = role
    return named


def _takes_sizes(first: Sequence[Parameter]) -> bool:
    """Whether a function's first parameters are numbers, as those of a helper that makes a table or splits heads."""
    sizes = [each for each in first if len(each.name) > 2 and role_of_size(each.name) is not None]
    return len(sizes) > 1 or any(_is_plain(each) for each in first)


def _is_number(parameter: Parameter) -> bool:
    """Whether a parameter is a number or a switch, so that it is no mask wherever it stands."""
    size = role_of_size(parameter.name) if len(parameter.name) > 2 else None
    return parameter.name.lower() in NEVER_A_MASK | CAPS or size not in {None, "causal"} or _is_plain(parameter)


def _is_plain(parameter: Parameter) -> bool:
    """Whether a default or an annotation says that a parameter is a switch or a number."""
    if parameter.default in {"True", "False"} or parameter.annotation in {"bool", "int", "float", "str"}:
        return True
    return parameter.default is not None and _NUMBER.fullmatch(parameter.default) is not None


def _slots(
    candidate: Candidate, named: Mapping[str, str | None], notes: list[tuple[str, str]]
) -> tuple[tuple[Slot, ...], Notes]:
    """The arguments to pass: the roles that can be filled, switches, and None for a further required mask."""
    switches = _switches(candidate, named)
    slots = []
    for parameter in candidate.parameters:
        role = named[parameter.name]
        if role is not None and not _fillable(parameter, role):
            role = None
        role = role or switches.get(parameter.name)
        if role is not None:
            slots.append(Slot(role, parameter.name, by_position=parameter.kind != "keyword-only"))
    notes.extend(("switch", f"{name} is passed as True") for name, role in switches.items() if role == "causal")
    return _keywords_after_a_gap(candidate, slots), tuple(notes)


def _switches(candidate: Candidate, named: Mapping[str, str | None]) -> dict[str, str]:
    """Switches of a call: one that hides the future is on where there is no mask; one that is needed is off."""
    # Padding says nothing about the future.
    has_mask = bool({"mask", "valid_lens"} & set(named.values()))
    found: dict[str, str] = {}
    for parameter in candidate.parameters:
        if named[parameter.name] is not None or parameter.kind.startswith("var-"):
            continue
        plain = parameter.name.lower().strip("_")
        is_switch = parameter.default in {"True", "False"} or parameter.annotation == "bool"
        if plain in CAUSAL_FLAGS or (is_switch and ("mask" in plain or "causal" in plain)):
            if not has_mask and "causal" not in found.values() and (is_switch or not parameter.has_default):
                found[parameter.name] = "causal"
            elif not parameter.has_default:
                found[parameter.name] = "off"
        elif not parameter.has_default and (parameter.annotation == "bool" or is_flag(parameter.name)):
            found[parameter.name] = "off"
        elif not parameter.has_default and plain in CAPS:
            found[parameter.name] = "off" if parameter.annotation in {"int", "float"} else "none"
        elif not parameter.has_default and ("mask" in plain or plain in CACHES):
            found[parameter.name] = "none"
    return found


def _assign_any(candidate: Candidate, named: Mapping[str, str | None]) -> tuple[tuple[Slot, ...], Notes]:
    """With `*args`: names count when query, key and value have theirs, else the usual order; the mask comes last."""
    by_place = [parameter.name for parameter in candidate.parameters if parameter.takes_position]
    by_name = [
        Slot(role, parameter.name, by_position=False)
        for parameter in candidate.parameters
        if parameter.kind == "keyword-only"
        and (role := named[parameter.name]) is not None
        and _fillable(parameter, role)
    ]
    roles = [named[name] for name in by_place]
    if not {"query", "key", "value"} <= set(named.values()):
        roles[:3] = ["query", "key", "value"]
    if "mask" not in roles and all(slot.role != "mask" for slot in by_name):
        roles.append("mask")
    # What cannot be filled ends the positional arguments.
    passed = [role for role in takewhile(lambda role: role is not None, roles) if role is not None]
    places = (*by_place, *passed[len(by_place) :])
    slots = (Slot(role, place, by_position=True) for role, place in zip(passed, places, strict=False))
    note = f"{candidate.signature} takes any arguments: passed {', '.join(passed)}"
    return (*slots, *by_name), (("positional", note),)


def assign_hidden_states_roles(candidate: Candidate, *, projected: bool) -> tuple[tuple[Slot, ...], Notes]:
    """Roles of what takes hidden states: x, or query, key and value of full width; with `projected` weights as well."""
    named = _named_roles(
        candidate, lambda name: (projection_role(name) if projected else None) or hidden_states_role(name)
    )
    for parameter in candidate.parameters:
        if named[parameter.name] is not None or parameter.kind.startswith("var-"):
            continue
        role = rotary_role(parameter.name)
        longer = longer_projection_role(parameter.name) if projected else None
        if longer is not None and longer not in named.values():
            named[parameter.name] = longer
            continue
        if projected and parameter.name.lower() == "h" and "hidden_states" in named.values():
            role = "num_heads"  # of two that could be the hidden states, the first is
        if not parameter.has_default or (parameter.default == "None" and role in TABLES):
            named[parameter.name] = role or ("option" if text_options(parameter) else None)
    notes = [*_by_initials(candidate, named), *_by_one_word(candidate, named), *assign_key_text(candidate, named)]
    roles = set(named.values())
    if {"hidden_states", "key", "value"} <= roles and "query" not in roles:
        # forward(x, k, v): what stands before keys and values are the queries
        named |= {name: "query" for name, role in named.items() if role == "hidden_states"}
        roles = set(named.values())
    if "hidden_states" not in roles and not {"query", "key", "value"} <= roles and not takes_key_text(notes):
        first = next((each.name for each in candidate.parameters if each.takes_position), None)
        only = {"query", "key", "value"} & roles  # forward(value)
        if first is not None and (named[first] in {None, "query"} or {named[first]} == only):
            named[first] = "hidden_states"
            notes.append(("by-position", f"{first} was taken as the hidden states"))
    return _slots(candidate, named, notes)


def _by_initials(candidate: Candidate, named: dict[str, str | None]) -> Notes:
    """Take the first three parameters for query, key and value if their names start with q, k and v."""
    first = [each.name for each in candidate.parameters if each.takes_position][:3]
    initials = "".join(name.lstrip("_")[:1].lower() for name in first)
    if initials != "qkv" or any(named[name] for name in first):
        return ()
    named.update(zip(first, ("query", "key", "value"), strict=True))
    return (("by-position", f"{', '.join(first)} were taken as query, key, value"),)


def _by_one_word(candidate: Candidate, named: dict[str, str | None]) -> Notes:
    """Take three parameters whose names differ in one word for query, key and value: encodings_for_q, …_k, …_v."""
    first = [each.name for each in candidate.parameters if each.takes_position][:3]
    rows = [name.lower().strip("_").split("_") for name in first]
    if len(rows) < 3 or len({len(row) for row in rows}) > 1 or {"query", "key", "value"} <= set(named.values()):
        return ()
    differing = [words for words in zip(*rows, strict=True) if len(set(words)) > 1]
    roles = [role_of(word) for word in differing[0]] if len(differing) == 1 else []
    if set(roles) != {"query", "key", "value"}:
        return ()
    named.update(zip(first, roles, strict=True))
    return (("by-position", f"{', '.join(first)} were taken as {', '.join(map(str, roles))}"),)


def unfilled(candidate: Candidate, slots: Sequence[Slot]) -> list[str]:
    """Names of parameters that have no default and that the grader has nothing for."""
    filled = {slot.parameter for slot in slots}
    return [
        parameter.name
        for parameter in candidate.parameters
        if not parameter.has_default and parameter.name not in filled and not parameter.kind.startswith("var-")
    ]


def _fillable(parameter: Parameter, role: str) -> bool:
    """Whether a value is passed: a size or a dropout with a default keeps its default.

    A dropout that defaults to None is often a module: a number there would break a right submission.
    """
    if role in {"head_dim", "block_size", "factor", "divisor"}:
        return not parameter.has_default
    return role != "dropout_p" or not parameter.has_default or parameter.default != "None"


def _keywords_after_a_gap(candidate: Candidate, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Positional arguments end at the first parameter that is left at its default."""
    filled = {slot.parameter: slot for slot in slots}
    arranged: list[Slot] = []
    by_position = True
    for parameter in candidate.parameters:
        slot = filled.get(parameter.name)
        if slot is None:
            by_position = False
            continue
        if parameter.kind == "positional-only" and not by_position:
            continue  # out of reach
        arranged.append(Slot(slot.role, slot.parameter, by_position and slot.by_position))
    return tuple(arranged)
