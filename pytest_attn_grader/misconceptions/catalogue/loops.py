"""Mistakes that leave something unfilled: loops that stop early, and scaffolds that are returned as they are."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_blocked, fill_later, unchanged
from pytest_attn_grader.misconceptions.training import is_dropped_outside_of_training


def _without_last_row(tensor: Tensor, _: Inputs) -> Tensor:
    kept = torch.ones(tensor.shape[-2], 1, dtype=tensor.dtype, device=tensor.device)
    kept[-1] = 0
    return tensor * kept


def _without_first_row(tensor: Tensor, _: Inputs) -> Tensor:
    return torch.cat([torch.zeros_like(tensor[..., :1, :]), tensor[..., 1:, :]], dim=-2)


def _without_last_key(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights[..., :-1] @ inputs.value[..., :-1, :]


def _without_first_key(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return attn_weights[..., 1:] @ inputs.value[..., 1:, :]


def _blocking(attn_scores: Tensor, inputs: Inputs, *, place: int) -> Tensor:
    attn_scores = fill_blocked(attn_scores, inputs)
    attn_scores[..., place] = inputs.fill
    return attn_scores


@misconception(
    "AG411",
    "last-token-loop",
    replaces="reweigh",
    family="wiring",
    fill_matters=True,
    variants=(
        StageOverride({"finish": _without_last_row}, "weights complete"),
        StageOverride({"combine": _without_last_key}, "the last key is left out of the sum"),
        StageOverride({"reweigh": _without_first_row}, "the loop begins at 1 and leaves out the first token"),
        StageOverride({"finish": _without_first_row}, "the loop begins at 1, weights complete"),
        StageOverride({"combine": _without_first_key}, "the first key is left out of the sum"),
        StageOverride({"mask": partial(_blocking, place=-1)}, "no query attends to the last key"),
        StageOverride({"mask": partial(_blocking, place=0)}, "no query attends to the first key"),
    ),
)
def last_token_loop(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """has a loop that is one token short, so that the last token, or the first, is left out.

    range(n) ends at n - 1 by itself, because it starts at 0. Written as range(n - 1), the loop leaves out the last
    token, and its row stays as it was initialised: zero. The last token is the one a language model predicts from.
    range(1, n) leaves out the first token in the same way.

    Bad:
        for i in range(seq_len - 1):
    Good:
        for i in range(seq_len):

    Effect: Averages over all tokens look nearly right; the next-token prediction is broken.
    Nudge: Compare the first and the last row of your output with the others.
    Fix: Loop over range(seq_len).
    """
    return _without_last_row(attn_weights, inputs)


def _is_unfilled(case: SubmissionObservations) -> Recognition | None:
    """No graph behind the output, and numbers that no attention makes: not reproducible, or absurdly large or small."""
    first, again = case.attempts.get("basic"), case.attempts.get("basic-again")
    if first is None or first.attn_output is None:
        return None
    size = float(first.attn_output.double().abs().nan_to_num(nan=1e30, posinf=1e30, neginf=1e30).max())
    absurd = size > 1e6 or size < 1e-6
    differs = again is not None and again.attn_output is not None and not case.equal(first, again)
    if first.output_requires_grad is not False:
        is_made_of_it = case.source.leaves_memory_unwritten() and not case.source.keeps_state()
        if not (is_made_of_it and (absurd or differs)) or is_dropped_outside_of_training(case, "basic"):
            return None
        what = "two equal calls give different answers" if differs else f"numbers of up to {size:.2g} come out"
        return Recognition(case.everything(), f"{what}, and a tensor is made without writing to it (torch.empty)")
    # A loop that does not run for a short text, and fills the output for a longer one.
    is_filled_elsewhere = any(record.output_requires_grad for record in case.attempts.values())
    is_suspect = (absurd or differs or case.source.leaves_memory_unwritten()) and not is_filled_elsewhere
    if not is_suspect or case.matches_reference("basic", "output"):
        return None
    what = "is 0 everywhere" if size == 0 else "is made of memory that nothing was written to"
    return Recognition(case.everything(), f"the output {what}, and no gradient leads back from it")


def _zeros(attn_output: Tensor, _: Inputs) -> Tensor:
    return torch.zeros_like(attn_output).detach()


@misconception("AG412", "uninit-empty", replaces="finish", family="wiring", recognise=_is_unfilled)
def uninit_empty(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """returns a tensor that was never filled, or computes with one.

    A scaffold often begins with torch.zeros or torch.empty, so that the file runs before anything is written. What is
    computed has to end up in what is returned. torch.empty reserves memory without even writing zeros to it: whatever
    lay there before comes out, tiny numbers, huge ones or NaN, and something else in the next run. The same happens
    where something is added to such a tensor, with out + x or with torch.baddbmm, whose beta is 1.

    Bad:
        attn_output = torch.empty(batch, heads, seq, head_dim)
        return attn_output
    Good:
        attn_output = attn_weights @ value
        return attn_output

    Effect: Random numbers instead of an answer.
    Nudge: Which numbers are in a tensor that you make, before you write to it?
    Fix: Return what you computed; do not create the output beforehand. To add up, begin with torch.zeros.
    """
    return _zeros(attn_output, inputs)


def _over_batch(inputs: Inputs) -> Tensor:
    query, key = (tensor.transpose(0, 2) for tensor in (inputs.query, inputs.key))
    return query @ key.transpose(-2, -1)  # (seq, num_heads, batch, batch)


def _values_over_batch(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return (attn_weights @ inputs.value.transpose(0, 2)).transpose(0, 2)


_CAUSAL_OVER_BATCH = (
    StageOverride(
        {"score": _over_batch, "combine": _values_over_batch, "mask": fill_later},
        "with a causal mask over the batch",
    ),
)


@misconception(
    "AG413",
    "batch-as-seq",
    replaces="score",
    family="wiring",
    look_alikes=("batch-first-forgotten",),
    together_with={"combine": _values_over_batch, "mask": unchanged},
    variants=_CAUSAL_OVER_BATCH,
)
def batch_as_seq(inputs: Inputs) -> Tensor:
    """attends across the examples of the batch instead of the tokens of a text.

    Some libraries put the tokens first, (seq, batch, ...), others the examples, (batch, seq, ...). With the two mixed
    up the code runs, but token 3 of one text attends to token 3 of the other texts. With a single example every
    weight is 1 and the output is the value itself.

    Bad:
        query = query.transpose(0, 2)     # tokens first, although the formula wants them second to last
    Good:
        attn_scores = query @ key.transpose(-2, -1)     # (batch, heads, seq, head_dim) as passed

    Effect: Texts in a batch influence each other, tokens of one text do not.
    Nudge: What shape does your weight matrix have, and which two sizes should it show?
    Fix: Leave the axes as they come: (batch, heads, seq, head_dim).
    """
    return _over_batch(inputs)


def _forgets_batch_first(case: SubmissionObservations) -> Recognition | None:
    """A mask of nn.MultiheadAttention that has the number of tokens where the batch is expected, or the reverse."""
    if not case.source.forgets_batch_first():
        return None
    complains = [
        name
        for name in case.attempts
        if case.failure_mentions(name, ("attn_mask", "key_padding_mask")) and case.failure_mentions(name, ("shape",))
    ]
    if complains:
        return Recognition(case.everything(), "its mask has the number of tokens, and the batch is expected there")
    output = case.attempts["unpadded"].attn_output if "unpadded" in case.attempts else None
    value = None if output is None else case.probes["unpadded"].value.double()
    if output is None or value is None or output.shape != value.shape:
        return None
    is_value = float((output.double() - value).abs().max()) < 1e-3
    return (
        Recognition(case.everything(), "for a single text, every output is the value of its token")
        if is_value
        else None
    )


@misconception(
    "AG417",
    "batch-first-forgotten",
    replaces="score",
    family="wiring",
    together_with={"combine": _values_over_batch, "mask": unchanged},
    variants=_CAUSAL_OVER_BATCH,
    look_alikes=("batch-as-seq",),
    recognise=_forgets_batch_first,
    shown_by=lambda source: source.forgets_batch_first(),
)
def batch_first_forgotten(inputs: Inputs) -> Tensor:
    """makes nn.MultiheadAttention without batch_first=True and passes (batch, seq, features).

    nn.MultiheadAttention expects (seq, batch, features) by default. Given (batch, seq, features), it takes the batch
    for the sequence: token 3 of one text attends to token 3 of the other texts, and a mask of (seq, seq) does not fit.

    Bad:
        self.attention = nn.MultiheadAttention(embed_dim, num_heads)
    Good:
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)

    Effect: An exception where there is a mask; without one, texts in a batch influence each other.
    Nudge: Which axis of its input does nn.MultiheadAttention take for the sequence?
    Fix: Pass batch_first=True to nn.MultiheadAttention.
    """
    return _over_batch(inputs)
