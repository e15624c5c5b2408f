"""What kind of submission it is, and how its arguments are filled.

Everything here is decided from the signatures that the worker reports; no student code runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_attn_grader.errors import SubmissionError, UngradableError, UsageError
from pytest_attn_grader.sandbox.messages import Candidate, Parameter
from pytest_attn_grader.submission.parameter_names import is_dropout, is_projected, looks_like_attention
from pytest_attn_grader.submission.signatures import Notes, Slot, assign_hidden_states_roles, assign_roles, unfilled

__all__ = [
    "Candidate",
    "Contract",
    "Kind",
    "Parameter",
    "Slot",
    "choose_candidate",
    "choice_note",
    "resolve_contract",
]

Kind = Literal["function", "projected-function", "module"]

# With helpers beside it, the name that the contract gives decides.
CONTRACT_NAME = "attention"
CONTRACT_TEXT = "attention(query, key, value, mask=None) -> attn_output or (attn_output, attn_weights)"
PROJECTED_TEXT = "self_attention(x, w_q, w_k, w_v, mask=None) -> attn_output"
MODULE_TEXT = "a torch.nn.Module with forward(x, mask=None) or forward(query, key, value, mask=None)"

MASK_CONVENTIONS = ("keep", "additive", "blocked", "none")


@dataclass(frozen=True)
class Contract:
    """How to call the submission.

    Attributes:
        kind: "function" takes query, key and value; "projected-function" and "module" take hidden states.
        slots: in the order of the signature; positional ones first.
        mask_convention: "keep" (bool, True = may attend), "additive", "blocked", or "none" when it masks by itself.
    """

    candidate: Candidate
    slots: tuple[Slot, ...]
    mask_convention: str
    notes: Notes = ()
    kind: Kind = "function"

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(slot.role for slot in self.slots)

    @property
    def takes_dropout(self) -> bool:
        if self.candidate.kind == "module-class":
            return any(is_dropout(parameter.name) for parameter in self.candidate.parameters)
        return "dropout_p" in self.roles

    @property
    def has_training_switch(self) -> bool:
        """Whether it can be told that it is not in training: by an argument, or as a module by eval()."""
        return self.candidate.is_module or "training" in self.roles

    @property
    def default_dropout_p(self) -> float:
        """The probability of dropout of a call that says nothing of it; 0 where there is none."""
        names = {slot.parameter for slot in self.slots if slot.role == "dropout_p"}
        for parameter in self.candidate.parameters:
            if self.kind == "function" and parameter.name in names and parameter.default is not None:
                try:
                    return float(parameter.default)
                except ValueError:
                    return 0.0
        return 0.0


def choose_candidate(candidates: Sequence[Candidate], wanted: str | None, typed: str) -> Candidate:
    """The one thing to grade.

    Raises:
        SubmissionError: `no-target`, nothing in the submission can be called as the contract says.
        UsageError: several can; the user has to choose.
        UngradableError: what was found is of a kind this version does not grade.
    """
    if wanted is not None:
        chosen = next((candidate for candidate in candidates if candidate.name == wanted), None)
        if chosen is None:
            raise SubmissionError(
                "no-target",
                f"{typed}: {wanted!r} is there, but it is nothing that can be called.",
                remedy=f"Define it as a function: {CONTRACT_TEXT}",
            )
        return _require_gradable(chosen)
    fitting = [candidate for candidate in candidates if not candidate.is_module and _problem(candidate) is None]
    if not fitting:
        modules = [candidate for candidate in candidates if candidate.is_module and _problem(candidate) is None]
        # Files hold feed-forward layers and whole models beside the attention, and all of them take hidden states.
        fitting = [candidate for candidate in modules if looks_like_attention(candidate.name)] or modules
    named = [candidate for candidate in fitting if candidate.name == CONTRACT_NAME]
    if len(fitting) == 1 or named:
        return (named or fitting)[0]
    if fitting:
        names = ", ".join(candidate.signature for candidate in fitting)
        what = "modules" if fitting[0].is_module else "functions"
        raise UsageError(
            f"--attn-student={typed}: {len(fitting)} {what} could be meant: {names}. "
            f"Choose one: --attn-student={typed}:{fitting[0].name}"
        )
    if candidates and all(candidate.kind == "class" for candidate in candidates):
        return _require_gradable(candidates[0])
    seen = "; ".join(f"{candidate.signature}: {_problem(candidate)}" for candidate in candidates[:5])
    meant = [candidate for candidate in candidates if looks_like_attention(candidate.name)]
    only = next(iter(candidates), None) if len(candidates) == 1 else meant[0] if len(meant) == 1 else None
    raise SubmissionError(
        "no-target",
        f"{typed} has no function that fits. " + (f"Seen: {seen}." if seen else "It defines no function at all."),
        where=None if only is None else _place_of(only),
        remedy=_smallest_change(only)
        if only is not None
        else f"Write a function {CONTRACT_TEXT}, with tensors (batch, num_heads, seq, head_dim), "
        f"or {PROJECTED_TEXT}, or {MODULE_TEXT}.",
    )


def choice_note(chosen: Candidate, candidates: Sequence[Candidate]) -> Notes:
    """What the report says when the name alone decided: helpers often take the same arguments."""
    if chosen.name != CONTRACT_NAME:
        return ()
    others = [each.name for each in candidates if each != chosen and not each.is_module and _problem(each) is None]
    return (("chosen", f"graded by its name; {' and '.join(others)} could be called alike"),) if others else ()


def _require_gradable(candidate: Candidate) -> Candidate:
    if candidate.kind != "class":
        return candidate
    raise UngradableError(
        f"{candidate.name} is a class, but no torch.nn.Module. Derive it from torch.nn.Module, "
        f"or write a function {CONTRACT_TEXT}. No attempt is counted."
    )


def resolve_contract(candidate: Candidate, declared_mask: str | None, typed: str) -> Contract:
    """Decide which argument goes where.

    Raises:
        SubmissionError: `no-target`, the signature cannot take query, key and value or asks for more than that;
            the message names the parameter and the smallest change.
    """
    if declared_mask is not None and declared_mask not in MASK_CONVENTIONS:
        raise SubmissionError(
            "no-target",
            f"{typed}: ATTN_MASK = {declared_mask!r} is no mask convention.",
            remedy=f"Use one of {', '.join(MASK_CONVENTIONS)}.",
        )
    problem = _problem(candidate)
    if problem is not None:
        raise SubmissionError(
            "no-target",
            f"{candidate.signature} cannot be called as attention: {problem}.",
            remedy=_smallest_change(candidate),
            where=_place_of(candidate),
        )
    kind = kind_of(candidate)
    slots, notes = _slots_of(candidate, kind)
    convention = declared_mask or "keep"
    if not {"mask", "key_padding_mask"} & {slot.role for slot in slots}:
        convention = "none"
    elif convention == "none":
        slots = _without_mask(candidate.called, slots)
    return Contract(candidate, slots, convention, notes, kind)


def kind_of(candidate: Candidate) -> Kind:
    """What the signature says it is; whether a module owns projections shows only when it is there."""
    if candidate.is_module:
        return "module"
    names = (parameter.name for parameter in candidate.parameters)
    return "projected-function" if is_projected(names) else "function"


def _slots_of(candidate: Candidate, kind: Kind) -> tuple[tuple[Slot, ...], Notes]:
    if kind == "function":
        return assign_roles(candidate)
    return assign_hidden_states_roles(candidate.called, projected=kind == "projected-function")


def _place_of(candidate: Candidate) -> str | None:
    return None if candidate.file is None else f"{candidate.file}:{candidate.line}"


def _smallest_change(candidate: Candidate) -> str:
    """What to write so that it can be called."""
    if candidate.kind == "class":
        return f"Derive it from torch.nn.Module, or write a function {CONTRACT_TEXT}"
    left_over = _left_over(candidate)
    if left_over and not _missing_roles(candidate):
        where = "in its forward" if candidate.is_module else "in its signature"
        defaults = ", ".join(f"{name}=None" for name in left_over)
        return f"Write {defaults} {where}, and work it out inside where nothing is passed."
    return f"Give {'its forward' if candidate.is_module else 'it'} this signature: {_wanted_text(candidate)}"


def _wanted_text(candidate: Candidate) -> str:
    return {"function": CONTRACT_TEXT, "projected-function": PROJECTED_TEXT, "module": MODULE_TEXT}[kind_of(candidate)]


def _without_mask(candidate: Candidate, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """The mask is left at its default, so what comes after it is passed by name."""
    mask = next((index for index, slot in enumerate(slots) if slot.role == "mask"), None)
    if mask is None:
        return tuple(slots)
    if any(each.name == slots[mask].parameter and not each.has_default for each in candidate.parameters):
        raise SubmissionError(
            "no-target",
            f"{candidate.signature}: ATTN_MASK = 'none' says that it masks by itself, but it asks for a mask.",
            remedy=f"Write {slots[mask].parameter}=None, or take ATTN_MASK away.",
        )
    after = (replace(slot, by_position=False) for slot in slots[mask + 1 :])
    return (*slots[:mask], *after)


def _problem(candidate: Candidate) -> str | None:
    """Why a candidate cannot be called; None when it can."""
    if candidate.kind == "class":
        return "it is a class"
    missing = _missing_roles(candidate)
    if missing:
        return f"{'its forward' if candidate.is_module else 'it'} has no parameter for {' and '.join(missing)}"
    left_over = _left_over(candidate)
    if left_over:
        where = " of its forward" if candidate.is_module else ""
        return f"the grader has nothing to pass for {' and '.join(map(repr, left_over))}{where}; give it a default"
    return None


def _left_over(candidate: Candidate) -> list[str]:
    slots, _ = _slots_of(candidate, kind_of(candidate))
    return unfilled(candidate.called, slots)


def _missing_roles(candidate: Candidate) -> list[str]:
    kind = kind_of(candidate)
    slots, _ = _slots_of(candidate, kind)
    roles = {slot.role for slot in slots}
    states = () if {"query", "key", "value"} <= roles else ("hidden_states",)
    wanted = {
        "function": ("query", "key", "value"),
        "projected-function": states if "w_qkv" in roles else (*states, "w_q", "w_k", "w_v"),
        "module": states,
    }[kind]
    return [role for role in wanted if role not in roles]
