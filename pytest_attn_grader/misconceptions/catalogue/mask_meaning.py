"""Mistakes in the meaning of the mask: forgotten, turned round, or read as something it is not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, unchanged


def _padding_only(inputs: Inputs) -> Inputs:
    """Let every query see the keys of the last one: the mask without its causal part."""
    return replace(inputs, keep_mask=inputs.mask_without_window[..., -1:, :].expand_as(inputs.keep_mask))


@misconception(
    "AG311",
    "no-causal-mask",
    replaces="mask",
    family="mask",
    causal=True,
    look_alikes=("mask-discarded", "mask-of-zeros"),
    variants=(StageOverride({"prepare": _padding_only}, "padding is masked, the future is not"),),
)
def no_causal_mask(attn_scores: Tensor, _: Inputs) -> Tensor:
    """does not mask the future: every token sees the tokens after it.

    A language model predicts the next token. If it may look at that token while it learns, it copies it instead of
    predicting. So a query must give weight 0 to every later key, and the mask says which those are.

    Bad:
        attn_weights = attn_scores.softmax(-1)
    Good:
        attn_weights = attn_scores.masked_fill(~mask, float("-inf")).softmax(-1)

    Effect: Training looks brilliant, and the model can generate nothing.
    Nudge: Look at the upper triangle of your weights. Is the mask used between the scores and the softmax?
    Fix: Fill the scores of blocked keys with float("-inf") before the softmax.
    """
    return attn_scores


@misconception(
    "AG312",
    "mask-discarded",
    replaces="mask",
    family="mask",
    look_alikes=("no-causal-mask", "mask-of-zeros"),
    shown_by=lambda source: source.discards_result_of("masked_fill", "where", "logical_not"),
)
def mask_discarded(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """masks the scores and throws the result away.

    masked_fill returns a new tensor and leaves the old one as it is; masked_fill_ (with the underscore) changes the
    tensor itself. A line that calls masked_fill without using what it returns does nothing.

    Bad:
        attn_scores.masked_fill(~mask, float("-inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: No masking at all: every token sees the future and the padding.
    Nudge: Follow the masked scores from the line that makes them to the softmax.
    Fix: Assign the result: attn_scores = attn_scores.masked_fill(...).
    """
    attn_scores.masked_fill(~inputs.keep_mask, inputs.fill)
    return attn_scores


def _both_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """A mask of queries and keys, the same for all examples, and one of padding: what either allows is blocked."""
    keep = inputs.keep_mask.expand(attn_scores.shape[0], -1, -1, -1)
    allowed_by_any = keep.any(0, keepdim=True) | keep.any(-2, keepdim=True)
    return attn_scores.masked_fill(allowed_by_any, inputs.fill)


def _padding_inverted(attn_scores: Tensor, inputs: Inputs, *, future: float | None = None) -> Tensor:
    """The future is blocked rightly, and in the mask of the padding what may be attended to is blocked."""
    is_past = causal_keep_mask(*attn_scores.shape[-2:], device=attn_scores.device)
    attn_scores = attn_scores.masked_fill(~is_past, inputs.fill if future is None else future)
    return attn_scores.masked_fill(inputs.keep_mask.any(-2, keepdim=True), inputs.fill)


def _without_padding_keys(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(~inputs.keep_mask.any(-2, keepdim=True), inputs.fill)


def _future_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """Block the past and the own key; the padding as it should be."""
    is_past = causal_keep_mask(*attn_scores.shape[-2:], device=attn_scores.device)
    return _without_padding_keys(attn_scores.masked_fill(is_past, -torch.inf), inputs)


def _future_moved(attn_scores: Tensor, inputs: Inputs, *, number: float) -> Tensor:
    """Add a number to what is in the future; the padding is blocked as it should be."""
    is_past = causal_keep_mask(*attn_scores.shape[-2:], device=attn_scores.device)
    return _without_padding_keys(attn_scores + number * (~is_past).to(attn_scores), inputs)


def _padding_kept(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """Block the future, and what is outside of the window, before the softmax; the padding stays."""
    keep = causal_keep_mask(*attn_scores.shape[-2:], device=attn_scores.device)
    if inputs.sliding_window is not None:
        keep = keep & inputs.is_near(inputs.sliding_window)
    return attn_scores.masked_fill(~keep, torch.finfo(attn_scores.dtype).min)


def _without_padding(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights * inputs.keep_mask.any(-2, keepdim=True)


def _added_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """A large negative number is added to what is kept; where nothing is blocked, to all, which changes nothing."""
    return attn_scores - 1e4 * inputs.keep_mask.to(attn_scores)


def _nothing_where_no_key_is_left(attn_scores: Tensor, _: Inputs) -> Tensor:
    return attn_scores.softmax(-1).nan_to_num(0.0)


def _inverted_with_infinity(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(inputs.keep_mask, -torch.inf)


def _padding_inverted_with_infinity(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return _padding_inverted(attn_scores, replace(inputs, fill=-torch.inf))


_INVERTED_AND_CAREFUL = (
    StageOverride(
        {"mask": _inverted_with_infinity, "normalise": _nothing_where_no_key_is_left}, "nothing where no key is left"
    ),
    StageOverride(
        {"mask": _padding_inverted_with_infinity, "normalise": _nothing_where_no_key_is_left},
        "the mask of the padding alone; nothing where no key is left",
    ),
)


@misconception(
    "AG313",
    "mask-inverted",
    replaces="mask",
    family="mask",
    fill_matters=True,
    variants=(
        StageOverride({"mask": _both_inverted}, "two masks, both read so"),
        StageOverride({"mask": _padding_inverted}, "the mask of the padding alone"),
        StageOverride(
            {"mask": _future_inverted, "normalise": _nothing_where_no_key_is_left}, "the mask of the future alone"
        ),
        StageOverride({"mask": _added_inverted}, "a large negative number is added to what may be attended to"),
        StageOverride({"mask": partial(_padding_inverted, future=float("-inf"))}, "the mask of the padding alone"),
        *_INVERTED_AND_CAREFUL,
    ),
    look_alikes=("additive-as-bool",),
)
def mask_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """blocks what may be attended to and keeps what may not.

    In the mask you are given True means "may attend" (as in PyTorch's scaled_dot_product_attention). masked_fill writes
    where its mask is True. Passing the one to the other as it is erases exactly the keys that should stay. If your own
    masks mean the opposite, say so in one line: ATTN_MASK = "blocked".

    Bad:
        attn_scores = attn_scores.masked_fill(mask, float("-inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Every token sees only the future; for the last one nothing is left, which is NaN with a fill of -inf and
    an even spread with a finite one.
    Nudge: What does True mean in the mask you get, and what does it mean to masked_fill?
    Fix: Negate the mask: masked_fill(~mask, float("-inf")), or mask == 0.
    """
    return attn_scores.masked_fill(inputs.keep_mask, inputs.fill)


@misconception("AG314", "additive-as-bool", replaces="mask", family="mask", look_alikes=("mask-inverted",))
def additive_as_bool(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """reads an additive mask (0 = keep, very negative = block) as if it were a keep mask.

    An additive mask is made to be added: 0 changes nothing, a very negative number blocks. Testing it with == 0 finds
    the keys that may be attended to, and filling those blocks exactly the wrong ones.

    Bad:
        attn_scores = attn_scores.masked_fill(mask == 0, -1e9)   # mask is 0 where attending is allowed
    Good:
        attn_scores = attn_scores + mask

    Effect: Every token sees only what it should not see.
    Nudge: Print one row of the mask. What stands where attending is allowed?
    Fix: Add an additive mask to the scores; use == 0 only with masks of 0 and 1.
    """
    return attn_scores.masked_fill(inputs.keep_mask, -1e9)


@misconception(
    "AG315",
    "bool-as-additive",
    replaces="mask",
    family="mask",
    variants=(
        StageOverride({"mask": lambda scores, inputs: scores - (~inputs.keep_mask).to(scores)}, "1 subtracted"),
        StageOverride(
            {"mask": lambda scores, inputs: scores + inputs.keep_mask.to(scores) / inputs.root},
            "before the scaling",
        ),
        *(
            StageOverride({"mask": partial(_future_moved, number=number)}, f"{number:+g} on the future alone")
            for number in (1.0, -1.0)
        ),
    ),
)
def bool_as_additive(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """adds a mask of True and False to the scores.

    Added to a number, True counts 1 and False counts 0. So kept keys get a score that is 1 higher than blocked ones,
    which makes blocked weights exp(-1) times as large: smaller, but far from 0.

    Bad:
        attn_scores = attn_scores + mask
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Every token sees the future, a little dimmed.
    Nudge: What is 2.5 + True?
    Fix: Use masked_fill(~mask, float("-inf")), or add a mask that holds 0 and float("-inf").
    """
    return attn_scores + inputs.keep_mask.to(attn_scores)


@misconception(
    "AG316",
    "mask-after-softmax",
    replaces="reweigh",
    family="mask",
    together_with={"mask": unchanged},
    variants=(StageOverride({"mask": _padding_kept, "reweigh": _without_padding}, "the mask of the padding alone"),),
)
def mask_after_softmax(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """masks after the softmax, so that rows no longer sum to 1.

    Softmax shares one unit among all keys, blocked ones included. Setting the weights of blocked keys to 0 afterwards
    throws their share away: a token that sees only itself keeps perhaps a tenth. Masked before the softmax, blocked
    keys take no share at all.

    Bad:
        attn_weights = attn_scores.softmax(-1) * mask
    Good:
        attn_weights = attn_scores.masked_fill(~mask, float("-inf")).softmax(-1)

    Effect: Early tokens get outputs that are far too small, and how small depends on future tokens.
    Nudge: What do the rows of your weights sum to, the first one above all?
    Fix: Fill the scores with float("-inf") where the mask blocks, then take the softmax.
    """
    return attn_weights * inputs.keep_mask


def _fill_weights(attn_weights: Tensor, inputs: Inputs, *, fill: float) -> Tensor:
    return attn_weights.masked_fill(~inputs.keep_mask, fill)


@misconception(
    "AG317",
    "mask-after-softmax-neginf",
    replaces="reweigh",
    family="mask",
    together_with={"mask": unchanged},
    variants=tuple(
        StageOverride({"mask": unchanged, "reweigh": partial(_fill_weights, fill=fill)}, f"{fill:g}")
        for fill in (-1e4, -1e9, -1e10, -1e20)
    ),
)
def mask_after_softmax_neginf(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """writes minus infinity into the weights, after the softmax instead of before it.

    Minus infinity is the right thing to write into scores, because exp(-inf) = 0. In weights nothing takes the
    exponential any more, so the infinity goes straight into the sum over the values.

    Bad:
        attn_weights = attn_scores.softmax(-1).masked_fill(~mask, float("-inf"))
    Good:
        attn_weights = attn_scores.masked_fill(~mask, float("-inf")).softmax(-1)

    Effect: Outputs are infinite or NaN.
    Nudge: In which order do mask and softmax come?
    Fix: Swap the two steps: first masked_fill, then softmax.
    """
    return attn_weights.masked_fill(~inputs.keep_mask, float("-inf"))
