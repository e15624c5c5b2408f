"""The kind of a submission and the roles of its parameters.

Everything here is decided from the signatures that the worker reports; no student code runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.constructor_roles import other_ways_to_give, roles_of, takes_dropout
from pytest_attn_grader.submission.function_names import GROUP_ROLES, reads_groups
from pytest_attn_grader.submission.key_texts import takes_key_text
from pytest_attn_grader.submission.parameter_names import ROTARY_OBJECTS, TABLES, is_projected, rotary_role
from pytest_attn_grader.submission.remote.messages import Candidate
from pytest_attn_grader.submission.signatures import (
    MASK_ROLES,
    Notes,
    Slot,
    assign_hidden_states_roles,
    assign_roles,
    unfilled,
)

if TYPE_CHECKING:
    from pytest_attn_grader.attention.rotation import Rotation
    from pytest_attn_grader.submission.rotary import TableStyle

Kind = Literal["function", "projected-function", "module"]

CONTRACT_TEXT = "attention(query, key, value, mask=None) -> attn_output or (attn_output, attn_weights)"
PROJECTED_TEXT = "self_attention(x, w_q, w_k, w_v, mask=None) -> attn_output"
MODULE_TEXT = "a torch.nn.Module with forward(x, mask=None) or forward(query, key, value, mask=None)"

MASK_CONVENTIONS = ("keep", "additive", "blocked", "none")
AUTO_MASK = "auto"


@dataclass(frozen=True)
class Contract:
    """The kind of a submission and the values that its parameters take.

    Attributes:
        kind: "function" takes query, key and value; "projected-function" and "module" take hidden states.
        slots: in the order of the signature; positional ones first.
        mask_convention: "keep" (bool, True = may attend), "additive", "blocked", or "none" when it masks by itself.
        is_mask_settled: whether the file or an option says so; else others may be tried.
        is_mask_numeric: whether its mask holds 1 and 0 instead of True and False.
        of_function: of the function that a module uses, which is graded where the module cannot be called.
        tables, rotation: of a function that rotates; it gets query and key rotated backwards.
    """

    candidate: Candidate
    slots: tuple[Slot, ...]
    mask_convention: str
    notes: Notes = ()
    kind: Kind = "function"
    is_mask_settled: bool = True
    is_mask_numeric: bool = False
    of_function: Contract | None = None
    hides_by_mask: bool = False
    tables: TableStyle | None = None
    rotation: Rotation | None = None

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(slot.role for slot in self.slots)

    @property
    def needed(self) -> frozenset[str]:
        """The parameters of a call that have no default."""
        return frozenset(each.name for each in self.candidate.called.parameters if not each.has_default)

    def parameters(self, *roles: str) -> list[str]:
        """The parameters that have one of these roles."""
        return [slot.parameter for slot in self.slots if slot.role in roles]

    @property
    def has_optional_mask(self) -> bool:
        """Whether it takes a mask that has a default, so that a caller may leave it out."""
        masks = set(self.parameters("mask"))
        return self.takes_mask and bool(masks) and not masks & self.needed

    def with_note(self, name: str, why: str) -> Contract:
        """The same with one more note for the report."""
        return replace(self, notes=(*self.notes, (name, why)))

    def without_role(self, role: str) -> Contract:
        """The same with the parameter of this role at its default; what comes after it is passed by name."""
        slots = tuple(
            replace(slot, by_position=False) if index > self._place(role) else slot
            for index, slot in enumerate(self.slots)
            if slot.role != role
        )
        masks = {slot.role for slot in slots} & MASK_ROLES
        return replace(self, slots=slots, mask_convention=self.mask_convention if masks else "none")

    def with_other_roles(self, others: Mapping[str, str]) -> Contract:
        """The same whose parameters with these roles have the others."""
        return replace(self, slots=tuple(replace(each, role=others.get(each.role, each.role)) for each in self.slots))

    def others(self) -> Iterator[Contract]:
        """Yield what else a module may mean.

        Its only mask, of padding, as one of queries and keys; positions with a default passed by name, and what may
        be others than rotary ones left out; what its constructor is given; its switch for the future off beside a mask.
        """
        if MASK_ROLES & self.roles == {"key_padding_mask"}:
            whole = self.with_other_roles({"key_padding_mask": "mask"})
            yield whole.with_note("whole-mask", f"{whole.parameters('mask')[0]} is passed as (batch, 1, query, key)")
        taken = {slot.parameter for slot in self.slots}
        for each in self.candidate.called.parameters:
            if rotary_role(each.name) == "rotary_positions" and each.default == "None" and each.name not in taken:
                why = f"{each.name} is passed: without it there is no answer"
                yield self.with_role("rotary_positions", each.name).with_note("positions", why)
        if "rotary_pair" in self.roles and not {*self.parameters("rotary_pair")} & self.needed:
            yield self.without_role("rotary_pair")
        for given in other_ways_to_give(self.candidate):
            made = replace(self, candidate=replace(self.candidate, given=given))
            yield made.with_note("given", f"its constructor is given: {given}")
        if "mask" in self.roles and "causal" in roles_of(self.candidate):
            why = "its constructor's switch that hides the future is off: with it, it takes no mask"
            yield replace(self, hides_by_mask=True).with_note("switch", why)

    def without_causal_switch(self) -> Contract:
        """The same with its switch that hides the future off: in a model that hides nothing."""
        notes = tuple((name, text.replace("True", "False") if name == "switch" else text) for name, text in self.notes)
        return replace(self.with_other_roles({"causal": "off"}), notes=notes)

    def _place(self, role: str) -> int:
        return next((index for index, slot in enumerate(self.slots) if slot.role == role), len(self.slots))

    @property
    def takes_mask(self) -> bool:
        """Whether it is given a mask; without one it masks by itself, and cannot know what is padding."""
        return self.mask_convention != "none"

    def with_role(self, role: str, parameter: str) -> Contract:
        """The same with one more parameter, passed by name."""
        return replace(self, slots=(*self.slots, Slot(role, parameter, by_position=False)))

    @property
    def takes_dropout(self) -> bool:
        if self.candidate.kind == "module-class":
            return takes_dropout(self.candidate)
        return "dropout_p" in self.roles

    @property
    def has_training_switch(self) -> bool:
        """Whether it can be switched out of training: by an argument, its layer's attribute, or eval()."""
        reads = "layer" in self.roles and "training" in self.candidate.uses
        return self.candidate.is_module or "training" in self.roles or reads

    @property
    def takes_groups(self) -> bool:
        """Whether a function's argument, or an attribute of its layer, says how many heads share a key."""
        return bool(GROUP_ROLES & self.roles) or ("layer" in self.roles and reads_groups(self.candidate))

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


def resolve_contract(
    candidate: Candidate, declared_mask: str | None, typed: str, *, mask_convention: str = AUTO_MASK
) -> Contract:
    """Decide which argument goes where.

    Args:
        declared_mask: the submission's own ``ATTN_MASK``.
        mask_convention: what the instructor asks for: it comes before what the submission says, unless it is "auto".

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
    problem = problem_of(candidate)
    if problem is not None:
        raise SubmissionError(
            "no-target",
            f"{candidate.signature} cannot be called as attention: {problem}.",
            remedy=smallest_change(candidate),
            where=place_of(candidate),
        )
    kind = kind_of(candidate)
    slots, notes = _slots_of(candidate, kind)
    convention = declared_mask or "keep"
    if not MASK_ROLES & {slot.role for slot in slots}:
        convention = "none"
    elif mask_convention != AUTO_MASK and convention != "none":
        convention = mask_convention
    is_settled = declared_mask is not None or mask_convention != AUTO_MASK or convention == "none"
    contract = Contract(candidate, slots, convention, notes, kind, is_mask_settled=is_settled)
    return _without_mask(contract) if convention == "none" and "mask" in contract.roles else contract


def kind_of(candidate: Candidate) -> Kind:
    """The kind that the signature implies. An instance is needed to see whether a module owns projections."""
    if candidate.is_module:
        return "module"
    names = (parameter.name for parameter in candidate.parameters)
    return "projected-function" if is_projected(names) else "function"


def _slots_of(candidate: Candidate, kind: Kind) -> tuple[tuple[Slot, ...], Notes]:
    if kind == "function":
        return assign_roles(candidate)
    return assign_hidden_states_roles(candidate.called, projected=kind == "projected-function")


def place_of(candidate: Candidate) -> str | None:
    return None if candidate.file is None else f"{candidate.file}:{candidate.line}"


def smallest_change(candidate: Candidate) -> str:
    """The smallest change of the signature that makes it callable, as a remedy."""
    if candidate.kind == "class":
        return f"Derive it from torch.nn.Module, or write a function {CONTRACT_TEXT}"
    left_over = _left_over(candidate)
    if left_over and not _missing_roles(candidate):
        where = "in its forward" if candidate.is_module else "in its signature"
        defaults = ", ".join(f"{name}=None" for name in left_over)
        return f"Write {defaults} {where}: the attention has to work without what is not passed."
    wanted = {"function": CONTRACT_TEXT, "projected-function": PROJECTED_TEXT, "module": MODULE_TEXT}
    return f"Give {'its forward' if candidate.is_module else 'it'} this signature: {wanted[kind_of(candidate)]}"


def _without_mask(contract: Contract) -> Contract:
    """The contract of a submission that masks by itself; its mask is left at its default."""
    mask, signature = contract.parameters("mask")[0], contract.candidate.signature
    if mask in contract.needed:
        raise SubmissionError(
            "no-target",
            f"{signature}: ATTN_MASK = 'none' says that it masks by itself, but it asks for a mask.",
            remedy=f"Write {mask}=None, or take ATTN_MASK away.",
        )
    maskless = contract.without_role("mask")
    by_name = {slot.parameter for slot in maskless.slots if not slot.by_position}
    if any(each.name in by_name and each.kind == "positional-only" for each in contract.candidate.called.parameters):
        raise SubmissionError(
            "no-target",
            f"{signature}: ATTN_MASK = 'none' says that it masks by itself, but what comes after {mask} cannot be "
            "passed without it.",
            remedy=f"Write {mask} behind the / of its signature, or take ATTN_MASK away.",
        )
    return maskless


def problem_of(candidate: Candidate) -> str | None:
    """Why a candidate cannot be called; None when it can."""
    if candidate.kind == "class":
        return "it is a class"
    missing = _missing_roles(candidate)
    if missing and candidate.is_module and [each.kind for each in candidate.called.parameters] == ["var-positional"]:
        return "it has no forward"
    if missing:
        return f"{'its forward' if candidate.is_module else 'it'} has no parameter for {' and '.join(missing)}"
    left_over = _left_over(candidate)
    if left_over:
        where = " of its forward" if candidate.is_module else ""
        rotary = [name for name in left_over if rotary_role(name) in TABLES or name.lower() in ROTARY_OBJECTS]
        if rotary:
            return f"{' and '.join(map(repr, rotary))}{where} are rotary positions that the grader cannot make"
        return f"the grader has nothing to pass for {' and '.join(map(repr, left_over))}{where}; give it a default"
    return None


def _left_over(candidate: Candidate) -> list[str]:
    slots, _ = _slots_of(candidate, kind_of(candidate))
    return unfilled(candidate.called, slots)


def _missing_roles(candidate: Candidate) -> list[str]:
    kind = kind_of(candidate)
    slots, notes = _slots_of(candidate, kind)
    roles = {slot.role for slot in slots}
    states = () if {"query", "key", "value"} <= roles or takes_key_text(notes) else ("hidden_states",)
    wanted = {
        "function": ("query", "key", "value"),
        "projected-function": states if "w_qkv" in roles else (*states, "w_q", "w_k", "w_v"),
        "module": states,
    }[kind]
    return [role for role in wanted if role not in roles]
