"""The axis of the heads in the place of another one: of the tokens, or mixed with the batch."""

from __future__ import annotations

import re

from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_later, unchanged

# Of the axes of scores, the one of the queries or that of the keys; a padding mask fails at those of batch and heads.
_MISMATCH = re.compile(r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) .*dimension [23]")


def _swapped(tensor: Tensor) -> Tensor:
    return tensor.transpose(1, 2)


def _over_heads(inputs: Inputs) -> Tensor:
    return _swapped(inputs.query) @ _swapped(inputs.key).transpose(-2, -1)  # (batch, seq, num_heads, num_heads)


def _values_of_heads(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return _swapped(attn_weights @ _swapped(inputs.value))


def _merged_as_if_swapped(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """(batch, seq, heads, head_dim), read as (batch, heads, seq, head_dim) and swapped before it is merged."""
    outputs = attn_weights @ _swapped(inputs.value)
    batch_size, query_len, num_heads, head_dim = outputs.shape
    return _swapped(_swapped(outputs).reshape(batch_size, query_len, num_heads, head_dim))


def _mixes_up_heads_and_tokens(case: SubmissionObservations) -> Recognition | None:
    """The number of heads meets the number of tokens where a mask is applied, at every size."""
    failed = [name for name, record in case.attempts.items() if record.failure is not None]
    sizes = set()
    for name in failed:
        found = _MISMATCH.search(case.failure_message(name).partition("\n")[0])
        shape = case.probes[name].query.shape
        if case.probes[name].key.shape[2] != shape[2]:
            continue  # the products may fail before any mask
        if found is None or {int(found[1]), int(found[2])} != {shape[1], shape[2]}:
            return None
        sizes.add((shape[1], shape[2]))
    if not sizes:
        return None
    heads, tokens = min(sizes)
    # With one token there is nothing to attend to, whatever the axis is.
    alone = [name for name in case.attempts if case.probes[name].query.shape[2] == 1]
    evidence = f"its scores have the size of the {heads} heads where the mask has that of the {tokens} tokens"
    return Recognition(frozenset([*failed, *alone]), evidence)


@misconception(
    "AG510",
    "heads-as-seq",
    replaces="score",
    family="heads",
    together_with={"combine": _values_of_heads, "mask": unchanged},
    variants=tuple(
        StageOverride({"score": _over_heads, "combine": combine, "mask": mask}, note)
        for combine, mask, note in (
            (_values_of_heads, fill_later, "a causal mask over the heads"),
            (_merged_as_if_swapped, unchanged, "heads and tokens swapped afterwards"),
            (_merged_as_if_swapped, fill_later, "a causal mask over the heads, swapped afterwards"),
        )
    ),
    recognise=_mixes_up_heads_and_tokens,
)
def heads_as_seq(inputs: Inputs) -> Tensor:
    """attends across the heads of a token instead of the tokens of a text.

    After view the axes are (batch, seq, heads, head_dim). A product of the last two axes compares the heads of one
    token with each other. To compare tokens, the heads have to stand before them: (batch, heads, seq, head_dim).

    Bad:
        query = self.q_proj(x).view(batch, seq, num_heads, head_dim)
        attn_scores = query @ key.transpose(-2, -1)     # (batch, seq, heads, heads)
    Good:
        query = self.q_proj(x).view(batch, seq, num_heads, head_dim).transpose(1, 2)
        attn_scores = query @ key.transpose(-2, -1)     # (batch, heads, seq, seq)

    Effect: No token sees another one; with a mask of (seq, seq) an exception, unless there are as many heads as tokens.
    Nudge: What is the shape of your scores, and which two sizes should come last?
    Fix: Swap the axes of heads and tokens after view: .transpose(1, 2), of query, key and value.
    """
    return _over_heads(inputs)


def _joined_heads_first(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1).reshape(tensor.shape)


def _apart_heads_first(tensor: Tensor) -> Tensor:
    batch_size, num_heads, *rest = tensor.shape
    return tensor.reshape(num_heads, batch_size, *rest).transpose(0, 1)


@misconception(
    "AG511",
    "batch-heads-mixed",
    replaces="finish",
    family="heads",
    variants=(
        StageOverride(
            {"finish": lambda attn_output, _: _apart_heads_first(attn_output)},
            "the batch comes first, and is taken for the heads",
        ),
        StageOverride.of_tensors(_joined_heads_first, *INPUT_NAMES, note="the heads come first, the mask's do not"),
        StageOverride.of_tensors(_apart_heads_first, *INPUT_NAMES, note="the batch comes first, the mask's does not"),
    ),
)
def batch_heads_mixed(attn_output: Tensor, _: Inputs) -> Tensor:
    """joins batch and heads into one axis in one order and takes them apart in the other.

    In one axis (batch * heads) all heads of the first example come first. Taken apart as (heads, batch), or joined so
    and taken apart as (batch, heads), a head of one example gets the output of another example.

    Bad:
        attn_output = attn_output.view(num_heads, batch, seq, head_dim)     # was joined as batch * heads
    Good:
        attn_output = attn_output.view(batch, num_heads, seq, head_dim)

    Effect: Right for a single example; in a batch the examples get each other's heads.
    Nudge: Which of batch and heads changes faster along the joined axis, and which when you take it apart?
    Fix: Take the axis apart in the order in which it was joined.
    """
    return _joined_heads_first(attn_output)


def _merged_as_sequence_first(attn_output: Tensor, _: Inputs) -> Tensor:
    """(batch, seq, heads, head_dim), read as (seq, batch, width) and swapped."""
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    tokens = attn_output.transpose(1, 2).reshape(query_len, batch_size, num_heads, head_dim)
    return tokens.permute(1, 2, 0, 3)


def _sequence_first_merged(attn_output: Tensor, _: Inputs) -> Tensor:
    """(seq, batch, heads, head_dim), read as (batch, seq, width)."""
    batch_size, num_heads, query_len, head_dim = attn_output.shape
    tokens = attn_output.permute(2, 0, 1, 3).reshape(batch_size, query_len, num_heads, head_dim)
    return tokens.transpose(1, 2)


@misconception(
    "AG512",
    "batch-tokens-mixed",
    replaces="finish",
    family="heads",
    variants=(StageOverride({"finish": _merged_as_sequence_first}, "batch first, read as tokens first"),),
)
def batch_tokens_mixed(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """merges the heads with batch and tokens in one order and reads the result in the other.

    view and reshape never move a number. With the tokens first in memory, (seq, batch, ...), a view as (batch, seq,
    width) hands the tokens of one text to another text.

    Bad:
        attn_output.permute(2, 0, 1, 3).reshape(batch, seq, width)
    Good:
        attn_output.transpose(1, 2).reshape(batch, seq, width)

    Effect: Right for a single text; in a batch the texts get each other's tokens.
    Nudge: Which axis is first before your reshape, and which one after it?
    Fix: Bring the axes into the order (batch, seq, heads, head_dim) before the reshape.
    """
    return _sequence_first_merged(attn_output, inputs)
