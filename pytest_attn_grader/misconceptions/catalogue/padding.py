"""The mask's axes: which of its dimensions are examples, heads, queries and keys."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask, sees_future
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def without_padding(inputs: Inputs) -> Tensor:
    """The causal mask; where the mask hides no future, as an encoder's, one that hides nothing."""
    if sees_future(inputs.keep_mask):
        return torch.ones_like(inputs.keep_mask)
    query_len, key_len = inputs.keep_mask.shape[-2:]
    window, device = inputs.sliding_window, inputs.keep_mask.device
    return causal_keep_mask(query_len, key_len, sliding_window=window, device=device)


@misconception(
    "AG331",
    "pad-ignored",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    look_alikes=("pad-wrong-axis",),
)
def pad_ignored(inputs: Inputs) -> Inputs:
    """ignores the padding: real tokens attend to filler tokens.

    Texts of different lengths in one batch are filled up with padding tokens that mean nothing. The mask that is
    passed blocks them. A causal mask that you build blocks the future only: with it, padding on the right does not
    show the mistake, because there the padding *is* the future; padding on the left comes first and is not blocked.

    Bad:
        keep = torch.tril(torch.ones(seq, seq)).bool()     # the mask argument is not used
    Good:
        keep = mask

    Effect: The answer to a text changes with the length of the longest text beside it.
    Nudge: Is the mask argument used? Try an example whose first three tokens are padding.
    Fix: Use the mask you are passed (in a language model it is causal already), or combine it with your own by &.
    """
    return replace(inputs, keep_mask=without_padding(inputs).expand_as(inputs.keep_mask))


def _of_example(index: int) -> StageOverride:
    def prepare(inputs: Inputs) -> Inputs:
        return replace(inputs, keep_mask=inputs.keep_mask[index : index + 1].expand_as(inputs.keep_mask))

    return StageOverride({"prepare": prepare}, "the first example's" if index == 0 else "the second example's")


def _all_examples(inputs: Inputs) -> Inputs:
    """Block in all examples what is padding in one."""
    return replace(inputs, keep_mask=inputs.keep_mask.all(0, keepdim=True).expand_as(inputs.keep_mask))


def _any_example(inputs: Inputs) -> Inputs:
    return replace(inputs, keep_mask=inputs.keep_mask.any(0, keepdim=True).expand_as(inputs.keep_mask))


@misconception(
    "AG335",
    "mask-first-example",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    fill_matters=True,
    variants=(
        StageOverride({"prepare": _any_example}, "what one of them may attend to"),
        StageOverride({"prepare": _all_examples}, "what all of them may attend to"),
    ),
)
def mask_first_example(inputs: Inputs) -> Inputs:
    """uses one mask for all examples, the first example's or one that is made of several.

    Every text of a batch has its own length, and so its own mask. mask[0] is the mask of the first text; broadcast over
    the batch it lets shorter texts attend to their padding, or hides real tokens of longer ones. So does the mask of
    all texts together, mask.any(0) or mask.all(0).

    Bad:
        attn_scores = attn_scores.masked_fill(~mask[0], float("-inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Right for a single text; in a batch all texts but the first get a wrong mask.
    Nudge: What shape does the mask have where you use it? Where did the batch axis go?
    Fix: Use the whole mask, (batch, 1, query, key); it is broadcast over the heads.
    """
    result: Inputs = _of_example(0).stages["prepare"](inputs)
    return result


def _real_keys(inputs: Inputs) -> Tensor:
    return inputs.keep_mask.any(dim=-2)  # (batch, 1, key_len)


def _over_queries(inputs: Inputs) -> Tensor:
    query_len = inputs.keep_mask.shape[-2]
    return _real_keys(inputs)[..., -query_len:, None]


def _filled_with_infinity(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(~inputs.keep_mask, float("-inf"))


@misconception(
    "AG332",
    "pad-wrong-axis",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    look_alikes=("pad-ignored",),
    fill_matters=True,
    shown_by=lambda source: source.blocks_query_axis(),
)
def pad_wrong_axis(inputs: Inputs) -> Inputs:
    """applies the padding to the queries instead of the keys.

    The last axis of the scores is the keys, the one before it the queries. Padding tokens must not be *looked at*, so
    they are blocked along the last axis. Blocked along the queries, their own rows are lost (they are not needed),
    while the real tokens go on looking at them.

    Bad:
        keep = padding[:, None, :, None] & causal
    Good:
        keep = padding[:, None, None, :] & causal

    Effect: Real tokens attend to padding, and the rows of padding tokens are NaN.
    Nudge: Write the shape of the scores beside the shape of the mask, axis by axis.
    Fix: Put the padding on the last axis: padding[:, None, None, :].
    """
    return replace(inputs, keep_mask=_over_queries(inputs) & without_padding(inputs))


@misconception(
    "AG336",
    "pad-both-axes",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    together_with={"mask": _filled_with_infinity},
)
def pad_both_axes(inputs: Inputs) -> Inputs:
    """blocks the rows of padding queries as well, so that they have no key left and become NaN.

    Blocking the padding along the keys is right, and all that is needed: what a padding token itself looks at is never
    read. With its whole row filled with minus infinity, softmax is 0 / 0 = NaN there. The outputs of real tokens stay
    right; on the way back NaN times 0 is NaN, and it reaches every gradient.

    Bad:
        keep = padding[:, None, None, :] & padding[:, None, :, None] & causal
    Good:
        keep = padding[:, None, None, :] & causal

    Effect: The forward pass looks right; the first training step with a padded batch makes all weights NaN.
    Nudge: How many keys may a padding token look at?
    Fix: Block the keys only, or fill with torch.finfo(attn_scores.dtype).min instead of minus infinity.
    """
    return replace(inputs, keep_mask=inputs.keep_mask & _over_queries(inputs))


def _last_kept_blocked(inputs: Inputs) -> Inputs:
    number = inputs.keep_mask.sum(-1, keepdim=True)
    return replace(inputs, keep_mask=inputs.keep_mask & (inputs.keep_mask.cumsum(-1) < number))


def _first_blocked_too(inputs: Inputs) -> Inputs:
    blocked = ~inputs.keep_mask
    return replace(inputs, keep_mask=inputs.keep_mask | (blocked & (blocked.cumsum(-1) == 1)))


def _counted_from_the_start(inputs: Inputs) -> Inputs:
    """As many keys as there are real ones are kept, from the first one on."""
    number = _real_keys(inputs).sum(-1)[..., None, None]  # (batch, 1, 1, 1)
    is_kept = torch.arange(inputs.key.shape[-2], device=number.device) < number
    return replace(inputs, keep_mask=without_padding(inputs) & is_kept)


@misconception(
    "AG338",
    "pad-side-assumed",
    replaces="prepare",
    family="mask",
    probe="left-padding",
    fill_matters=True,
)
def pad_side_assumed(inputs: Inputs) -> Inputs:
    """counts the real tokens and keeps as many keys from the start, as if all padding stood on the right.

    The sum of a padding mask says how many tokens are real, not where they stand. Texts that are continued by a
    language model are padded on the left, so that they all end where the new token begins.

    Bad:
        keep = torch.arange(seq) < padding_mask.sum(-1, keepdim=True)
    Good:
        keep = padding_mask

    Effect: Right for padding on the right. With padding on the left, filler tokens are kept and real ones blocked.
    Nudge: Which keys do you keep when the first three tokens are padding?
    Fix: Use the mask itself, key by key.
    """
    return _counted_from_the_start(inputs)


@misconception(
    "AG337",
    "length-off-by-one",
    replaces="prepare",
    family="mask",
    fill_matters=True,
    variants=(StageOverride({"prepare": _last_kept_blocked}, "one key less"),),
    look_alikes=("diag-off-strict",),
    shown_by=lambda source: "valid_len" in source.text,
)
def length_off_by_one(inputs: Inputs) -> Inputs:
    """lets in one key more, or one less, than the valid length says.

    Keys are counted from 0: with a length of 3 the valid keys are 0, 1 and 2. position <= length keeps key 3 as well,
    which is padding, or in a causal length the next token.

    Bad:
        keep = torch.arange(max_len)[None, :] <= valid_len[:, None]
    Good:
        keep = torch.arange(max_len)[None, :] < valid_len[:, None]

    Effect: Every text shorter than the longest attends to one filler token.
    Nudge: How many keys does your comparison keep for a length of 1?
    Fix: Compare with <: arange(max_len) < valid_len.
    """
    return _first_blocked_too(inputs)


@misconception("AG333", "mask-batch-as-head", replaces="prepare", family="mask", probe="single")
def mask_batch_as_head(inputs: Inputs) -> Inputs:
    """uses a mask of shape (batch, seq, seq) on scores of shape (batch, heads, seq, seq).

    Broadcasting lines shapes up from the right. A 3-D mask meets the last three axes of the scores, so its batch axis
    meets the *heads*. That is an error when the two numbers differ, a silent mistake when they are equal, and right
    only with a single example.

    Bad:
        attn_scores.masked_fill(~mask.squeeze(1), float("-inf"))
    Good:
        attn_scores.masked_fill(~mask, float("-inf"))          # (batch, 1, seq, seq)

    Effect: An exception for most batches; with as many examples as heads, the wrong mask for each.
    Nudge: Write the shape of the scores beside the shape of the mask, right-aligned.
    Fix: Keep (or add) the heads' axis: mask[:, None].
    """
    return replace(inputs, keep_mask=inputs.keep_mask.squeeze(1))


@misconception("AG334", "mask-repeat-order", replaces="prepare", family="mask")
def mask_repeat_order(inputs: Inputs) -> Inputs:
    """repeats the mask in the wrong order when batch and heads are folded into one axis.

    Folded to (batch * heads, seq, seq), the scores come as all heads of example 0, all heads of example 1, and so on.
    mask.repeat(heads, 1, 1) comes as all examples, then all examples again, so that most heads get another example's
    mask.

    Bad:
        mask = mask.squeeze(1).repeat(num_heads, 1, 1)
    Good:
        mask = mask.squeeze(1).repeat_interleave(num_heads, dim=0)

    Effect: Examples use each other's padding; without padding it does not show.
    Nudge: Which example and head does row 1 of the folded scores belong to, and row 1 of the folded mask?
    Fix: Use repeat_interleave(num_heads, dim=0), or do not fold: (batch, 1, seq, seq) broadcasts by itself.
    """
    batch_size, num_heads = inputs.query.shape[:2]
    folded = inputs.keep_mask.squeeze(1).repeat(num_heads, 1, 1)  # (num_heads * batch, query_len, key_len)
    return replace(inputs, keep_mask=folded.view(batch_size, num_heads, *folded.shape[1:]))
