"""Heads that share what each should have for itself, or are cut in another order."""

from __future__ import annotations

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _first_head(tensor: Tensor) -> Tensor:
    return tensor[:, :1].expand_as(tensor)


def _last_head(tensor: Tensor) -> Tensor:
    return tensor[:, -1:].expand_as(tensor)


def _mean_head(tensor: Tensor) -> Tensor:
    return tensor.mean(1, keepdim=True).expand_as(tensor)


def _sum_of_heads(tensor: Tensor) -> Tensor:
    return tensor.sum(1, keepdim=True).expand_as(tensor)


@misconception(
    "AG508",
    "multi-query",
    replaces="prepare",
    family="heads",
    variants=(
        StageOverride.of_tensors(_first_head, "key", note="head 0's key"),
        StageOverride.of_tensors(_first_head, "value", note="head 0's value"),
        StageOverride.of_tensors(_first_head, "query", note="head 0's query"),
        StageOverride.of_tensors(_first_head, "query", "key", "value", note="head 0's query, key and value"),
        StageOverride.of_tensors(_last_head, "key", "value", note="the last head's key and value"),
        StageOverride.of_tensors(_mean_head, "key", "value", note="the mean of the keys and of the values"),
        StageOverride.of_tensors(_sum_of_heads, "key", note="the sum of all heads' keys"),
        StageOverride.of_tensors(_sum_of_heads, "value", note="the sum of all heads' values"),
    ),
)
def multi_query(inputs: Inputs) -> Inputs:
    """uses one key and value for all heads, head 0's for instance (multi-query attention).

    Multi-query attention has one key and one value for all heads, in models that were built so. In this model every
    head has its own, and head 0's fit none of the other queries.

    Bad:
        key, value = key[:, :1], value[:, :1]
    Good:
        attn_scores = query @ key.transpose(-2, -1)     # (batch, heads, query, key), head by head

    Effect: The first head is right, all others look with their queries at the first head's keys.
    Nudge: Which heads are right? Follow the heads' axis of key and value.
    Fix: Use each head's own key and value.
    """
    return inputs.changed(_first_head, ("key", "value"))


def _dim_major(tensor: Tensor) -> Tensor:
    """Heads merged rightly, then split as (head_dim, heads)."""
    batch_size, num_heads, length, head_dim = tensor.shape
    merged = tensor.transpose(1, 2).reshape(batch_size, length, head_dim, num_heads)
    return merged.permute(0, 3, 1, 2)


def _merged_dim_major(attn_output: Tensor, _: Inputs) -> Tensor:
    """The inverse: (head_dim, heads) merged, then split as the caller has it."""
    batch_size, num_heads, length, head_dim = attn_output.shape
    return attn_output.permute(0, 2, 3, 1).reshape(batch_size, length, num_heads, head_dim).transpose(1, 2)


@misconception(
    "AG509",
    "split-dim-major",
    replaces="prepare",
    family="heads",
    variants=(
        StageOverride(
            {"prepare": lambda inputs: inputs.changed(_dim_major), "finish": _merged_dim_major},
            "merged in the same order",
        ),
    ),
)
def split_dim_major(inputs: Inputs) -> Inputs:
    """splits the width as (head_dim, heads) instead of (heads, head_dim).

    A projected vector holds head 0's numbers first, then head 1's, and so on. Viewed as (head_dim, heads) every "head"
    collects one number in so many from all of them.

    Bad:
        query = query.view(batch, seq, head_dim, heads).permute(0, 3, 1, 2)
    Good:
        query = query.view(batch, seq, heads, head_dim).transpose(1, 2)

    Effect: A model trained from scratch does not show it; with pretrained weights every head is a mixture of all.
    Nudge: In which order do the heads' numbers stand in one projected vector?
    Fix: View as (batch, seq, heads, head_dim), then transpose(1, 2); merge in the same order.
    """
    return inputs.changed(_dim_major)
