"""Signatures, as the worker reports them, and which of the grader's values goes into which parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from pytest_attn_grader.sandbox.messages import Candidate, Parameter
from pytest_attn_grader.submission.parameter_names import NEVER_A_MASK, hidden_states_role, projection_role, role_of
from pytest_attn_grader.submission.rotary_arguments import rotary_role

Notes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Slot:
    """Which value goes into which parameter.

    `role` is query, key, value, mask, key_padding_mask, dropout_p or training; with hidden states also hidden_states
    and return_weights, with projections also w_q, b_q, …, w_o, num_heads and head_dim.
    """

    role: str
    parameter: str
    by_position: bool


def assign_roles(candidate: Candidate) -> tuple[tuple[Slot, ...], Notes]:
    """Roles by name where the names say so, otherwise by position: query, key, value, mask."""
    notes: list[tuple[str, str]] = []
    named = {
        parameter.name: None if parameter.kind.startswith("var-") else _role_in_function(parameter.name)
        for parameter in candidate.parameters
    }
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
        if len(nameless) >= 3 and not rotates and not any(named[name] for name in nameless[:3]):
            named.update(zip(nameless, ("query", "key", "value"), strict=False))
            notes.append(("by-position", f"{', '.join(nameless[:3])} were taken as query, key, value"))
    if not {"mask", "key_padding_mask"} & set(named.values()):
        after = [
            parameter
            for parameter in candidate.parameters
            if named[parameter.name] is None
            and parameter.takes_position
            and parameter.name.lower() not in NEVER_A_MASK
            and (not parameter.has_default or parameter.default == "None")
        ]
        if len(after) == 1:
            named[after[0].name] = "mask"
            notes.append(("mask-by-position", f"{after[0].name} was taken as the mask"))
    slots = [
        Slot(role, parameter.name, by_position=parameter.kind != "keyword-only")
        for parameter in candidate.parameters
        if (role := named[parameter.name]) is not None and _fillable(parameter, role)
    ]
    return _keywords_after_a_gap(candidate, slots), tuple(notes)


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
    """Roles of what takes hidden states: x, or query, key and value of full width; with `projected` weights besides."""
    named: dict[str, str | None] = {parameter.name: None for parameter in candidate.parameters}
    for parameter in candidate.parameters:
        if not parameter.kind.startswith("var-"):
            role = projection_role(parameter.name) if projected else None
            named[parameter.name] = role or hidden_states_role(parameter.name)
            if named[parameter.name] is None and not parameter.has_default:
                named[parameter.name] = rotary_role(parameter.name)
    notes: list[tuple[str, str]] = []
    roles = set(named.values())
    if "hidden_states" not in roles and not {"query", "key", "value"} <= roles:
        first = next((each.name for each in candidate.parameters if each.takes_position), None)
        if first is not None and named[first] in {None, "query"}:
            named[first] = "hidden_states"
            notes.append(("by-position", f"{first} was taken as the hidden states"))
    slots = [
        Slot(role, parameter.name, by_position=parameter.kind != "keyword-only")
        for parameter in candidate.parameters
        if (role := named[parameter.name]) is not None and not (role == "head_dim" and parameter.has_default)
    ]
    return _keywords_after_a_gap(candidate, slots), tuple(notes)


def unfilled(candidate: Candidate, slots: Sequence[Slot]) -> list[str]:
    """Names of parameters that have no default and that the grader has nothing for."""
    filled = {slot.parameter for slot in slots}
    return [
        parameter.name
        for parameter in candidate.parameters
        if not parameter.has_default and parameter.name not in filled and not parameter.kind.startswith("var-")
    ]


def _role_in_function(name: str) -> str | None:
    return "key_padding_mask" if hidden_states_role(name) == "key_padding_mask" else role_of(name)


def _fillable(parameter: Parameter, role: str) -> bool:
    """A dropout parameter that defaults to None is often a module: a number there would break a right submission."""
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
