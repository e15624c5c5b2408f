"""The choice of the function or module to grade among those that a submission defines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_attn_grader.errors import SubmissionError, UngradableError, UsageError
from pytest_attn_grader.submission.constructor_roles import roles_of, splits_heads
from pytest_attn_grader.submission.contract import (
    CONTRACT_TEXT,
    MODULE_TEXT,
    PROJECTED_TEXT,
    Contract,
    kind_of,
    place_of,
    problem_of,
    resolve_contract,
    smallest_change,
)
from pytest_attn_grader.submission.key_texts import takes_key_text
from pytest_attn_grader.submission.parameter_names import looks_like_attention
from pytest_attn_grader.submission.remote.messages import Candidate, Description
from pytest_attn_grader.submission.rotary_modules import with_rotary_module
from pytest_attn_grader.submission.signatures import MASK_ROLES, Notes, assign_hidden_states_roles, assign_roles
from pytest_attn_grader.submission.target import Target

# With helpers beside it, the name that the contract gives decides.
CONTRACT_NAME = "attention"


def choose_contract(
    description: Description, target: Target, mask_convention: str, *, is_causal: bool | None = None
) -> Contract:
    """Choose what is graded, and decide how it is called.

    Args:
        is_causal: whether the graded model hides the future; None where that is not known.

    Raises:
        SubmissionError, UsageError, UngradableError: as `choose_candidate` and `resolve_contract`.
    """
    candidates = description.candidates

    def make_contract(candidate: Candidate, notes: Notes) -> Contract:
        whole = with_rotary_module(candidate, (*candidates, *description.imported_modules))
        declared = description.mask_convention
        contract = resolve_contract(whole, declared, target.typed, mask_convention=mask_convention)
        left_out = () if description.left_out is None else (("definitions-only", description.left_out),)
        return replace(contract, notes=(*left_out, *contract.notes, *notes))

    chosen = choose_candidate(candidates, target.name, target.typed, is_causal)
    if target.name is not None:
        return make_contract(chosen, ())
    user = find_user(candidates, chosen)
    if user is None:
        return make_contract(chosen, choice_note(chosen, candidates))
    contract = make_contract(user, choice_note(user, candidates))
    return replace(contract, of_function=make_contract(chosen, ()))


def choose_candidate(
    candidates: Sequence[Candidate], wanted: str | None, typed: str, is_causal: bool | None = None
) -> Candidate:
    """The one thing to grade.

    Raises:
        SubmissionError: `no-target`, nothing in the submission can be called as the contract says.
        UsageError: several can; the user has to choose.
        UngradableError: what was found is of a kind this version does not grade.
    """
    if wanted is not None:
        return _named_candidate(candidates, wanted, typed)
    ranked = _meant(candidates)
    if ranked and all(_is_whole_model(each) and not looks_like_attention(each.name) for each in ranked):
        raise SubmissionError(
            "no-target",
            f"{ranked[0].name} is a whole model, which takes numbers of tokens, and no attention stands beside it.",
            remedy="Define the attention as a separate class, at the top level of the file.",
        )
    if len(ranked) > 1 and ranked[0].is_module and is_causal is not None:
        ranked = [each for each in ranked if _suits(each, candidates, is_causal)] or ranked
    if len(ranked) == 1:
        return ranked[0]
    if ranked:
        names = ", ".join(candidate.signature for candidate in ranked)
        what = "modules" if ranked[0].is_module else "functions"
        raise UsageError(
            f"--attn-student={typed}: {len(ranked)} {what} could be graded: {names}. "
            f"Choose one: --attn-student={typed}:{ranked[-1].name}"
        )
    if candidates and all(candidate.kind == "class" for candidate in candidates):
        outer = _outermost(list(candidates))
        return _require_gradable(next((each for each in outer if looks_like_attention(each.name)), outer[0]))
    raise _no_target(candidates, typed)


def _named_candidate(candidates: Sequence[Candidate], wanted: str, typed: str) -> Candidate:
    chosen = next((candidate for candidate in candidates if candidate.name == wanted), None)
    if chosen is None:
        raise SubmissionError(
            "no-target",
            f"{typed}: {wanted!r} is there, but it is nothing that can be called.",
            remedy=f"Define it as a function: {CONTRACT_TEXT}",
        )
    return _require_gradable(chosen)


def _meant(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that fit best, without the parts of an attention that cannot be called."""
    return [each for each in _rank(candidates) if not _is_part_of_unfit(each, candidates)]


def _rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that fit best: functions before modules, then by name, then those that no other one uses.

    A module that uses the chosen function comes before it where the module can be called; see `find_user`.
    """
    fitting = _fitting(candidates)
    modules = [candidate for candidate in fitting if candidate.is_module]
    functions = [candidate for candidate in fitting if not candidate.is_module]
    if any(looks_like_attention(each.name) for each in modules):
        functions = [each for each in functions if not _is_helper(each)]
    named = [candidate for candidate in functions if candidate.name == CONTRACT_NAME] or _outermost(functions)
    if all(_is_step_of(each, modules) for each in named):
        # Files hold feed-forward layers and whole models beside the attention, and all of them take hidden states.
        layers = [each for each in modules if not _is_whole_model(each)] or modules
        layers = [each for each in layers if looks_like_attention(each.name)] or layers
        return _meant_modules(layers, candidates)
    if len(named) > 1:
        # Several ways to attend, of which the only module of attention uses some.
        users = _users_of(frozenset(each.name for each in named), candidates)
        return users if len(users) == 1 else named
    return named


def find_user(candidates: Sequence[Candidate], function: Candidate) -> Candidate | None:
    """The attention module that uses a function, itself or through another module; None where there is no such one.

    The function may be right and the module's own steps wrong.
    """
    if function.is_module:
        return None
    meant = _users_of(frozenset({function.name}), candidates)
    return meant[0] if len(meant) == 1 else None


def _users_of(functions: frozenset[str], candidates: Sequence[Candidate]) -> list[Candidate]:
    """The meant ones of the attention modules that use some of these functions, themselves or through another."""
    modules = [each for each in _fitting(candidates) if each.is_module and not _is_whole_model(each)]
    using = set(functions)
    while more := {each.name for each in modules if each.uses & using} - using:
        using |= more
    users = [each for each in modules if each.name in using and looks_like_attention(each.name)]
    return _meant_modules(users, candidates)


def _meant_modules(modules: Sequence[Candidate], candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of a file's modules those that no other one uses, inside of blocks; with several heads; of one text."""
    outer = _outermost([each for each in modules if not _is_block_of(each, modules, candidates)])
    # A chapter's file goes from one head to several, and the graded model has several.
    outer = [each for each in outer if splits_heads(each)] or outer
    return [each for each in outer if not _crosses(each)] or outer


def _fitting(candidates: Sequence[Candidate]) -> list[Candidate]:
    fitting = [candidate for candidate in candidates if problem_of(candidate) is None]
    classes = {candidate.name for candidate in fitting if candidate.kind == "module-class"}
    # Without an instance that the file makes of one of these classes, to try it out.
    return [candidate for candidate in fitting if candidate.class_name not in classes]


def _is_step_of(function: Candidate, modules: Sequence[Candidate]) -> bool:
    """Whether a function masks by itself, perhaps by a switch, and a module uses it.

    Only the module says for which texts that is right.
    """
    used = {name for each in modules if looks_like_attention(each.name) for name in each.uses}
    if function.name == CONTRACT_NAME or function.name not in used or kind_of(function) != "function":
        return False
    return not MASK_ROLES & {slot.role for slot in assign_roles(function)[0]}


def _is_helper(candidate: Candidate) -> bool:
    """Whether only the places of a function's arguments say what they are, as those of a helper, and not its name.

    Of a function of weights the name is not enough either: its hidden states would have one.
    """
    if kind_of(candidate) == "function":
        by_place = any(name in {"by-position", "positional"} for name, _ in assign_roles(candidate)[1])
        return by_place and not looks_like_attention(candidate.name)
    notes = assign_hidden_states_roles(candidate.called, projected=True)[1]
    return any(name == "by-position" for name, _ in notes)


def _is_block_of(module: Candidate, others: Sequence[Candidate], candidates: Sequence[Candidate]) -> bool:
    """Whether a module normalises around another one that has projections: BertAttention, not BertSelfAttention."""
    inside = [each for each in others if each.name in module.uses and each.name != module.name]
    used = module.uses.union(*(each.uses for each in candidates if each.name in module.uses and each not in inside))
    normalises = any("norm" in name.lower() for name in used)
    return normalises and any({"Linear", "Parameter"} & each.uses for each in inside)


def _is_part_of_unfit(module: Candidate, candidates: Sequence[Candidate]) -> bool:
    """Whether a module, such as a rotation, is used by an attention module that cannot be called."""
    if not module.is_module or looks_like_attention(module.name):
        return False
    meant = [each for each in candidates if each.is_module and looks_like_attention(each.name)]
    return any(module.name in each.uses and problem_of(each) is not None for each in meant)


def _suits(module: Candidate, candidates: Sequence[Candidate], is_causal: bool) -> bool:
    """Whether a module can hide the future where the model does, by a mask, a switch or a triangle; or not hide it."""
    used = {module.name, *module.uses}
    while more := set().union(*(each.uses for each in candidates if each.name in used)) - used:
        used |= more
    roles = {slot.role for slot in assign_hidden_states_roles(module.called, projected=False)[0]} | roles_of(module)
    has_choice = bool(roles & {*MASK_ROLES, "causal"})
    has_triangle = bool(used & {"tril", "triu"})
    return has_choice or has_triangle == is_causal


def _crosses(module: Candidate) -> bool:
    """Whether a module needs two texts, as cross-attention does."""
    return takes_key_text(assign_hidden_states_roles(module.called, projected=False)[1])


def _is_whole_model(candidate: Candidate) -> bool:
    """Whether a module is a language model, which takes numbers of tokens and not hidden states."""
    return "Embedding" in candidate.uses


def _outermost(candidates: list[Candidate]) -> list[Candidate]:
    """Those that no other candidate constructs or calls: MultiHeadAttention, not the Head that it consists of."""
    used = {name for each in candidates for name in each.uses if name != each.name}
    return [candidate for candidate in candidates if candidate.name not in used] or candidates


def choice_note(chosen: Candidate, candidates: Sequence[Candidate]) -> Notes:
    """The report's note on other candidates that could have been graded; helpers often take the same arguments."""
    others = [each for each in _fitting(candidates) if each.name != chosen.name]
    modules = [each.name for each in others if each.is_module and looks_like_attention(each.name)]
    functions = [each.name for each in others if not each.is_module]
    names = modules + [name for name in functions if name in chosen.uses] if chosen.is_module else functions + modules
    if not names:
        return ()
    others_words = f"{' and '.join(names)} could be chosen with :NAME"
    if chosen.is_module and len(_meant(candidates)) > 1:
        why = "because it hides the future, or does not, as the model"
        return (("chosen", f"{chosen.name} is graded, {why}; {others_words}"),)
    if modules and not chosen.is_module:
        return (("function-first", f"{chosen.name} is graded, a function before modules; {others_words}"),)
    if chosen.name == CONTRACT_NAME and not chosen.is_module:
        why = "by its name"
    elif (
        chosen.is_module
        and splits_heads(chosen)
        and set(names) & {each.name for each in _outermost(_fitting(candidates))}
    ):
        why = "because it takes a number of heads"
    else:
        why = "because it uses the others"
    return (("chosen", f"{chosen.name} is graded, {why}; {others_words}"),)


def _require_gradable(candidate: Candidate) -> Candidate:
    if candidate.kind != "class":
        return candidate
    raise UngradableError(
        f"{candidate.name} is a class, but no torch.nn.Module. Derive it from torch.nn.Module, "
        f"or write a function {CONTRACT_TEXT}. No attempt is counted."
    )


def _no_target(candidates: Sequence[Candidate], typed: str) -> SubmissionError:
    """Nothing fits: the smallest change to the one that is meant, or the contract."""
    seen = "; ".join(f"{each.signature}: {problem}" for each in candidates[:5] if (problem := problem_of(each)))
    meant = [candidate for candidate in candidates if looks_like_attention(candidate.name)]
    chosen = candidates if len(candidates) == 1 else meant
    only = chosen[0] if len(chosen) == 1 else None
    # The body of a class sets its __qualname__.
    makers = [each.name for each in candidates if each.kind == "function" and "__qualname__" in each.uses]
    outside = [f"Define the class outside of {name}, or use it: attention = {name}(…)" for name in makers]
    return SubmissionError(
        "no-target",
        f"{typed} has no function that fits. " + (f"Seen: {seen}." if seen else "It defines no function at all."),
        where=None if only is None else place_of(only),
        remedy=f"{outside[0]}, at the top level of the file."
        if outside
        else smallest_change(only)
        if only is not None
        else f"Write a function {CONTRACT_TEXT}, with tensors (batch, num_heads, seq, head_dim), "
        f"or {PROJECTED_TEXT}, or {MODULE_TEXT}.",
    )
