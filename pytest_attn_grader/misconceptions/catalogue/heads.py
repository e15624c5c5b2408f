"""The layout of the heads: view and transpose are not the same thing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _scrambled(tensor: Tensor) -> Tensor:
    """(batch, heads, seq, head_dim) read as if heads and seq stood the other way round."""
    batch_size, num_heads, length, head_dim = tensor.shape
    return tensor.reshape(batch_size, length, num_heads, head_dim).transpose(1, 2)


def _merged_then_viewed(tensor: Tensor) -> Tensor:
    """Heads merged rightly into (batch, seq, width), then split by a view straight to (batch, heads, seq, head_dim)."""
    return tensor.transpose(1, 2).reshape(tensor.shape)


def _splitting_some(*names: str) -> StageOverride:
    return StageOverride.of_tensors(_merged_then_viewed, *names, note=f"of {' and '.join(names)} alone")


def _fused(axes: str) -> StageOverride:
    """Query, key and value in one, (batch, seq, 3 * width), viewed with these axes at once."""

    def prepare(inputs: Inputs) -> Inputs:
        batch_size, num_heads, length, head_dim = inputs.query.shape
        sizes = {"3": 3, "batch": batch_size, "heads": num_heads, "seq": length, "head_dim": head_dim}
        names = axes.split()
        together = torch.stack([inputs.query, inputs.key, inputs.value]).permute(1, 3, 0, 2, 4)
        viewed = together.reshape([sizes[name] for name in names])
        query, key, value = viewed.permute([names.index(name) for name in ("3", "batch", "heads", "seq", "head_dim")])
        return replace(inputs, query=query, key=key, value=value)

    return StageOverride({"prepare": prepare}, f"of query, key and value in one, as ({', '.join(axes.split())})")


@misconception(
    "AG501",
    "split-view",
    replaces="prepare",
    family="heads",
    variants=(
        StageOverride({"prepare": lambda inputs: inputs.changed(_scrambled)}, "the other way round"),
        *(_splitting_some(name) for name in INPUT_NAMES),
        _splitting_some("key", "value"),
        *map(_fused, ("batch 3 seq heads head_dim", "batch 3 heads seq head_dim", "3 batch heads seq head_dim")),
        *map(_fused, ("3 batch seq heads head_dim", "batch heads seq 3 head_dim", "batch heads 3 seq head_dim")),
    ),
)
def split_view(inputs: Inputs) -> Inputs:
    """splits the heads with a view alone, which mixes up heads and tokens.

    A view never moves numbers, it only reads the same sequence of numbers in other portions. From (batch, seq, width)
    the portions come as tokens first, then heads. To have the heads in front one must view as (batch, seq, heads,
    head_dim) and then *transpose*.

    Bad:
        query = query.view(batch, heads, seq, head_dim)
    Good:
        query = query.view(batch, seq, heads, head_dim).transpose(1, 2)

    Effect: Each "head" sees pieces of several tokens; the future leaks in although the mask is right.
    Nudge: Try it with two tokens and two heads and write down which number lands where.
    Fix: View to (batch, seq, heads, head_dim), then transpose(1, 2). The tensors you are passed are split already.
    """
    return inputs.changed(_merged_then_viewed)


@misconception("AG502", "kT-view", replaces="score", family="heads")
def kt_view(inputs: Inputs) -> Tensor:
    """uses view (or reshape) instead of transpose to turn the keys.

    key.view(batch, heads, head_dim, seq) has the shape of the transposed keys, but the numbers stay in their order: a
    column of it is no key, it is a mixture of pieces of several.

    Bad:
        attn_scores = query @ key.view(batch, heads, head_dim, seq)
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: Scores that have nothing to do with similarity; shapes are right.
    Nudge: Compare key.view(...)[..., 0] with the first key.
    Fix: Use key.transpose(-2, -1) or key.mT.
    """
    batch_size, num_heads, key_len, head_dim = inputs.key.shape
    return inputs.query @ inputs.key.reshape(batch_size, num_heads, head_dim, key_len)


def _as_wide_tokens(attn_output: Tensor, _: Inputs) -> Tensor:
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    return attn_output.reshape(batch_size, query_len, num_heads * head_dim)


def _merge_then_read_as_split(attn_output: Tensor, _: Inputs) -> Tensor:
    return attn_output.transpose(1, 2).reshape(attn_output.shape)


def _merge_after_last_axes_swapped(attn_output: Tensor, _: Inputs) -> Tensor:
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    merged = attn_output.transpose(-2, -1).reshape(batch_size, query_len, num_heads, head_dim)
    return merged.transpose(1, 2)


@misconception(
    "AG503",
    "merge-view",
    replaces="finish",
    family="heads",
    fill_matters=True,
    variants=(
        StageOverride({"finish": _merge_then_read_as_split}, "the other way round"),
        StageOverride({"finish": _as_wide_tokens}, "shape (batch, seq, width)"),
        StageOverride({"finish": _merge_after_last_axes_swapped}, "after transpose(-2, -1)"),
    ),
)
def merge_view(attn_output: Tensor, _: Inputs) -> Tensor:
    """merges the heads with a view or reshape, without swapping heads and tokens back first.

    After the attention the axes are (batch, heads, seq, head_dim). Read off as (batch, seq, width) without a transpose,
    one "token" is made of pieces of one head's several tokens.

    Bad:
        attn_output = attn_output.reshape(batch, seq, heads * head_dim)
    Good:
        attn_output = attn_output.transpose(1, 2).reshape(batch, seq, heads * head_dim)

    Effect: The weights are right, the outputs are scrambled, and tokens see the future through the mix-up.
    Nudge: The weights are right. What happens to the order of the axes after the product with value?
    Fix: transpose(1, 2) before the reshape. For this grader, return (batch, heads, seq, head_dim) as it is.
    """
    return _scrambled(attn_output)


def _interleaved_back(attn_output: Tensor, _: Inputs) -> Tensor:
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    merged = attn_output.transpose(1, 2).reshape(batch_size, query_len, head_dim, num_heads)
    return merged.permute(0, 3, 1, 2)


@misconception(
    "AG504",
    "merge-dim-major",
    replaces="finish",
    family="heads",
    variants=(StageOverride({"finish": _interleaved_back}, "the other way round"),),
)
def merge_dim_major(attn_output: Tensor, _: Inputs) -> Tensor:
    """interleaves the heads instead of putting them side by side.

    Merged, a token's vector should be head 0's numbers, then head 1's, and so on: (heads, head_dim). Merged as
    (head_dim, heads) it holds the first number of every head, then the second of every head. All numbers are there, in
    another order than the output projection expects.

    Bad:
        rearrange(attn_output, "b h t d -> b t (d h)")
    Good:
        rearrange(attn_output, "b h t d -> b t (h d)")

    Effect: A model trained from scratch does not show it; with pretrained weights the output is garbage.
    Nudge: In which order do the heads' numbers stand in one merged vector?
    Fix: Merge as (heads, head_dim): transpose(1, 2), then flatten the last two axes.
    """
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    merged = attn_output.permute(0, 2, 3, 1).reshape(batch_size, query_len, num_heads, head_dim)
    return merged.transpose(1, 2)


def _reversed(tensor: Tensor) -> Tensor:
    return tensor.flip(1)


def _next_first(tensor: Tensor) -> Tensor:
    return tensor.roll(-1, dims=1)


def _last_first(tensor: Tensor) -> Tensor:
    return tensor.roll(1, dims=1)


@misconception(
    "AG505",
    "head-order",
    replaces="finish",
    family="heads",
    variants=(
        StageOverride({"prepare": lambda inputs: inputs.changed(_reversed)}, "weights too"),
        StageOverride({"finish": lambda attn_output, _: _last_first(attn_output)}, "moved by one"),
        StageOverride({"finish": lambda attn_output, _: _next_first(attn_output)}, "moved by one"),
        *(
            StageOverride.of_tensors(change, name, note=f"the {name}s alone, {note}")
            for name in ("key", "value")
            for change, note in ((_reversed, "reversed"), (_next_first, "moved by one"), (_last_first, "moved by one"))
        ),
    ),
)
def head_order(attn_output: Tensor, _: Inputs) -> Tensor:
    """has the heads, or their keys or values alone, in another order than they came in.

    The output projection expects head 0's numbers first. Collected in another order (a reversed loop, a list that is
    filled from the front), each head's result is right and lands in another head's place. Keys in another order meet
    the queries of other heads.

    Bad:
        heads.insert(0, head_output)
    Good:
        heads.append(head_output)

    Effect: Every head is right, the layer's output is wrong.
    Nudge: Which head do you compute first, and where does its result end up?
    Fix: Stack the heads in the order in which they came.
    """
    return _reversed(attn_output)


def _wide(tensor: Tensor) -> Tensor:
    batch_size, num_heads, length, head_dim = tensor.shape
    return tensor.transpose(1, 2).reshape(batch_size, 1, length, num_heads * head_dim)


def _one_head(inputs: Inputs) -> Tensor:
    return (_wide(inputs.query) @ _wide(inputs.key).transpose(-2, -1)).expand(-1, inputs.query.shape[1], -1, -1)


def _scale_by_width(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores / (inputs.root * math.sqrt(inputs.query.shape[1]))


@misconception(
    "AG506",
    "single-head",
    replaces="score",
    family="heads",
    variants=(StageOverride({"score": _one_head, "scale": _scale_by_width}, "scaled by the whole width"),),
)
def single_head(inputs: Inputs) -> Tensor:
    """computes one attention for all heads together.

    Several heads exist so that each can look somewhere else. When the scores sum over the whole width, heads and all,
    there is a single pattern that all heads share.

    Bad:
        attn_scores = torch.einsum("bhqd,bhkd->bqk", query, key)     # h is summed over
    Good:
        attn_scores = torch.einsum("bhqd,bhkd->bhqk", query, key)

    Effect: Every head looks at the same tokens; what the heads had specialised in is lost.
    Nudge: Compare the weights of two heads.
    Fix: Keep the heads' axis in the scores: (batch, heads, query, key).
    """
    return _one_head(inputs)


@misconception(
    "AG507",
    "heads-averaged",
    replaces="finish",
    family="heads",
    variants=(
        StageOverride({"finish": lambda attn_output, _: attn_output.mean(1)}, "shape (batch, seq, head_dim)"),
        StageOverride(
            {"reweigh": lambda weights, _: weights.mean(1, keepdim=True).expand_as(weights)}, "their weights"
        ),
        StageOverride(
            {"finish": lambda attn_output, _: attn_output.mean(1, keepdim=True)}, "shape (batch, 1, seq, head_dim)"
        ),
        StageOverride(
            {"finish": lambda attn_output, _: attn_output.sum(1, keepdim=True).expand_as(attn_output)}, "summed"
        ),
    ),
)
def heads_averaged(attn_output: Tensor, _: Inputs) -> Tensor:
    """averages the heads instead of putting them side by side.

    Each head fills its own part of the output vector. Averaged, what one head found is mixed with what the others
    found, and all parts of the vector become equal.

    Bad:
        attn_output = attn_output.mean(dim=1)
    Good:
        attn_output = attn_output.transpose(1, 2).flatten(2)     # side by side

    Effect: The weights are right, all heads give the same output.
    Nudge: Are the outputs of two heads different?
    Fix: Return one output for each head: (batch, heads, seq, head_dim).
    """
    return attn_output.mean(dim=1, keepdim=True).expand_as(attn_output)
