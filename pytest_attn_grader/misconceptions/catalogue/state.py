"""Mistakes that a call leaves behind: changed inputs, changed masks, memories of earlier calls."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, unchanged
from pytest_attn_grader.misconceptions.training import is_dropped_outside_of_training


def _scale_in_place(name: str) -> StageOverride:
    def scale(inputs: Inputs) -> Inputs:
        getattr(inputs, name).div_(inputs.root)
        return inputs

    return StageOverride({"prepare": scale, "scale": unchanged}, name)


def _overwrite(name: str) -> StageOverride:
    """Any other write into an input, once its value is no longer needed."""

    def write(attn_output: Tensor, inputs: Inputs) -> Tensor:
        getattr(inputs, name).data.mul_(0.5)
        return attn_output

    return StageOverride({"finish": write}, name)


def _leaf_refused(case: SubmissionObservations) -> Recognition | None:
    return case.raised(
        "leaf Variable that requires grad is being used in an in-place", "it writes into one of its inputs"
    )


@misconception(
    "AG701",
    "inplace-input",
    replaces="prepare",
    family="state",
    together_with={"scale": unchanged},
    variants=(_scale_in_place("key"), _overwrite("query"), _overwrite("key"), _overwrite("value")),
    recognise=_leaf_refused,
)
def inplace_input(inputs: Inputs) -> Inputs:
    """changes the caller's tensors (query *= ..., query.mul_(...), query /= ...).

    A function receives the tensor itself, not a copy. query *= scale and every method whose name ends in an underscore
    write into the caller's memory. The first call is right; code that uses the tensor afterwards gets other numbers.

    Bad:
        query *= head_dim ** -0.5
    Good:
        query = query * head_dim ** -0.5

    Effect: A second call on the same tensors gives another answer, and other parts of the model compute with wrong
        inputs.
    Nudge: Compare your inputs before and after a call.
    Fix: Write query = query * ... instead of query *= ..., and mul instead of mul_.
    """
    inputs.query.div_(inputs.root)
    return inputs


def _backward_refused(case: SubmissionObservations) -> Recognition | None:
    return case.raised(
        "modified by an inplace operation", "PyTorch refuses the backward pass", only_aspects=("backward", "answer")
    )


@misconception("AG702", "inplace-saved", replaces="combine", family="state", recognise=_backward_refused)
def inplace_saved(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """overwrites a tensor that the backward pass still needs.

    To compute gradients PyTorch keeps intermediate results: softmax keeps the weights, exp its output, a product both
    factors. Changing one of them in place (*=, /=, masked_fill_, x[...] = ...) spoils it, and PyTorch notices when
    backward is called: "has been modified by an inplace operation".

    Bad:
        attn_weights = attn_scores.softmax(-1)
        attn_weights *= mask
    Good:
        attn_weights = attn_scores.softmax(-1)
        attn_weights = attn_weights * mask

    Effect: The forward pass works, training raises a RuntimeError.
    Nudge: Which of your lines changes a tensor instead of making a new one?
    Fix: Write x = x * y instead of x *= y, and masked_fill instead of masked_fill_.
    """
    attn_output = attn_weights @ inputs.value
    attn_weights.mul_(inputs.keep_mask)
    return attn_output


def _open_first_key(inputs: Inputs) -> Inputs:
    """The change comes before the mask is used, so that this call sees it too."""
    inputs.keep_mask[..., 0] = True
    return inputs


def _invert_in_place(inputs: Inputs) -> Inputs:
    blocked = inputs.keep_mask.logical_not_()
    return replace(inputs, keep_mask=~blocked)


@misconception(
    "AG703",
    "mask-mutated",
    replaces="finish",
    family="state",
    variants=(
        StageOverride({"prepare": _invert_in_place}, "turned round in place"),
        StageOverride({"prepare": _open_first_key}, "the first key opened"),
    ),
)
def mask_mutated(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """changes the mask it was given.

    One mask serves all layers and all calls. Code that writes into it (mask[..., 0] = True, mask.logical_not_(), mask
    &= ...) changes it for all later layers and calls.

    Bad:
        mask[..., 0] = True
    Good:
        mask = mask.clone()
        mask[..., 0] = True

    Effect: This call is right, the next layer masks something else.
    Nudge: Compare the mask before and after a call.
    Fix: Work on a copy: mask.clone(), or ~mask and & instead of their in-place forms.
    """
    inputs.keep_mask.fill_(True)
    return attn_output


def _is_by_chance(case: SubmissionObservations) -> bool:
    """Whether equal calls differ because of random numbers or unwritten memory, and not by what a call left behind."""
    if any(is_dropped_outside_of_training(case, name) for name in ("basic", "basic-again")):
        return True
    draws = case.source.leaves_memory_unwritten() or case.source.draws_random_numbers()
    return draws and not case.source.keeps_state()


def _remembers(case: SubmissionObservations) -> Recognition | None:
    """The same call twice, and another answer: not by chance, because it does not look like dropped weights."""
    first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
    if case.grows_with_calls():
        return Recognition(case.everything(), "its tensors grow with every call")
    if first is None or again is None or first.failure is not None:
        return None
    if again.failure is not None:
        return Recognition(case.everything(), "the first call works, the same call again fails")
    if case.equal(first, again) or _is_by_chance(case):
        return None
    # A first call of its kind is right; where chance is at work, none is.
    if not any(
        case.matches_reference(name, "output") for name in case.eval_probes() if name not in {"one-token", "decode"}
    ):
        return None
    return Recognition(case.everything(), "the same call gives another answer the second time")


@misconception(
    "AG704",
    "stale-cache",
    replaces="finish",
    family="state",
    probe="basic-again",
    by_numbers=False,
    recognise=_remembers,
)
def stale_cache(attn_output: Tensor, _: Inputs) -> Tensor:
    """remembers keys and values (or something else) from earlier calls.

    A cache belongs to one text and must be emptied before the next. Kept in a module-level variable, a function
    attribute or a mutable default argument, it grows with every call, and later texts attend to earlier ones.

    Bad:
        CACHE.append(key)
        key = torch.cat(CACHE, dim=-2)
    Good:
        attn_scores = query @ key.transpose(-2, -1)     # only what was passed in

    Effect: The first call is right, every later one is not.
    Nudge: Call your function twice with the same tensors.
    Fix: Keep nothing between calls; the caller passes cached keys and values in.
    """
    return attn_output
