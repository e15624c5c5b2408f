"""The shape of the causal mask: a diagonal too many or too few, transposed, or made for one length only."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_blocked, fill_later, unchanged
from pytest_attn_grader.misconceptions.syntax import has_triangle_of_zeros


def _positions(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Position of every query (query_len, 1) and of every key (1, key_len); the last query sits on the last key."""
    query_len, key_len = inputs.keep_mask.shape[-2:]
    device = inputs.keep_mask.device
    return torch.arange(key_len - query_len, key_len, device=device)[:, None], torch.arange(key_len, device=device)[
        None
    ]


def _padding(inputs: Inputs) -> Tensor:
    """The keys that are no padding, (batch, 1, 1, key_len)."""
    return inputs.mask_without_window.any(dim=-2, keepdim=True)


@misconception(
    "AG321",
    "diag-off-strict",
    replaces="prepare",
    family="mask",
    causal=True,
    fill_matters=True,
    look_alikes=("length-off-by-one",),
)
def diag_off_strict(inputs: Inputs) -> Inputs:
    """masks a token's own position too.

    A token may attend to itself and to everything before it. torch.triu(ones, diagonal=0) includes the main diagonal,
    so blocking it also blocks the token itself, and the first token has nothing left to attend to.

    Bad:
        blocked = torch.triu(torch.ones(seq, seq), diagonal=0).bool()
    Good:
        blocked = torch.triu(torch.ones(seq, seq), diagonal=1).bool()

    Effect: The first row is NaN (or evenly spread), and no token sees itself.
    Nudge: Look at the diagonal of your weights.
    Fix: Use diagonal=1 for the blocked part, or torch.tril(ones) for the kept part.
    """
    queries, keys = _positions(inputs)
    return replace(inputs, keep_mask=inputs.keep_mask & (keys < queries))


@misconception("AG322", "diag-off-loose", replaces="prepare", family="mask", causal=True)
def diag_off_loose(inputs: Inputs) -> Inputs:
    """lets every token see one token of the future.

    torch.triu(ones, diagonal=2) starts two above the main diagonal, so the diagonal just above it is not blocked: each
    token sees the very next one. torch.tril(ones, diagonal=1) keeps it in the same way.

    Bad:
        blocked = torch.triu(torch.ones(seq, seq), diagonal=2).bool()
    Good:
        blocked = torch.triu(torch.ones(seq, seq), diagonal=1).bool()

    Effect: The model sees exactly the token it should predict: training loss collapses, generation fails.
    Nudge: Look at the diagonal just above the main one in your weights.
    Fix: Use diagonal=1 for the blocked part, or torch.tril(ones) for the kept part.
    """
    queries, keys = _positions(inputs)
    near = inputs.is_near(inputs.sliding_window)
    return replace(inputs, keep_mask=(keys <= queries + 1) & near & _padding(inputs))


def _upper_triangle(inputs: Inputs) -> Inputs:
    """torch.triu of as many queries and keys as there are, in place of the mask that was passed."""
    keep = torch.ones(inputs.keep_mask.shape[-2:], dtype=torch.bool, device=inputs.keep_mask.device).triu()
    return replace(inputs, keep_mask=keep[None, None])


def _causal_part_transposed(inputs: Inputs) -> Inputs:
    queries, keys = _positions(inputs)
    return replace(inputs, keep_mask=(keys >= queries) & _padding(inputs))


@misconception(
    "AG323",
    "mask-transposed",
    replaces="prepare",
    family="mask",
    causal=True,
    fill_matters=True,
    variants=(
        StageOverride({"prepare": _causal_part_transposed}, "the causal part only"),
        StageOverride({"prepare": _upper_triangle}, "triu(ones(query_len, key_len))"),
    ),
)
def mask_transposed(inputs: Inputs) -> Inputs:
    """uses the causal mask transposed: tokens see the future instead of the past.

    Rows of the score matrix are queries, columns are keys. A causal mask keeps the lower triangle: key at or before
    query. Transposed (or made with triu where tril was meant) it keeps the upper one.

    Bad:
        keep = torch.triu(torch.ones(seq, seq)).bool()
    Good:
        keep = torch.tril(torch.ones(seq, seq)).bool()

    Effect: Every token sees itself and the future, never the past.
    Nudge: Which triangle of your weights is empty?
    Fix: Keep the lower triangle (tril); do not transpose the mask together with the key.
    """
    return replace(inputs, keep_mask=inputs.keep_mask.transpose(-2, -1))


def _blocking_nothing(inputs: Inputs) -> Inputs:
    return replace(inputs, keep_mask=_padding(inputs).expand_as(inputs.keep_mask))


@misconception(
    "AG346",
    "mask-of-zeros",
    replaces="mask",
    family="mask",
    causal=True,
    fill_matters=True,
    note="every key is blocked",
    variants=(
        StageOverride({"prepare": _blocking_nothing}, "neither the past nor the future is blocked"),
        StageOverride({"mask": unchanged}, "no key is blocked"),
    ),
    look_alikes=("no-causal-mask", "mask-discarded"),
    shown_by=lambda source: has_triangle_of_zeros(source.nodes),
    only_shown=True,
)
def mask_of_zeros(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """makes its causal mask of zeros: a triangle of zeros is no triangle.

    torch.tril and torch.triu set one part of a matrix to 0 and leave the other as it is. Of a matrix of zeros nothing
    is left to tell apart: either no key is blocked, or every key is.

    Bad:
        keep = torch.tril(torch.zeros(seq, seq))
        attn_scores = attn_scores.masked_fill(keep == 0, float("-inf"))
    Good:
        keep = torch.tril(torch.ones(seq, seq))
        attn_scores = attn_scores.masked_fill(keep == 0, float("-inf"))

    Effect: NaN, or an average over all keys, where every key is blocked; the future is seen where none is.
    Nudge: Print your mask for three tokens.
    Fix: Make the triangle of ones: torch.tril(torch.ones(seq, seq)).
    """
    return attn_scores.masked_fill(torch.ones_like(attn_scores, dtype=torch.bool), inputs.fill)


def _square_alone(inputs: Inputs) -> Inputs:
    square = causal_keep_mask(inputs.query.shape[-2], device=inputs.keep_mask.device)
    return replace(inputs, keep_mask=square[None, None])


@misconception(
    "AG324",
    "square-mask-decode",
    replaces="prepare",
    family="mask",
    causal=True,
    probe="chunk",
    variants=(StageOverride({"prepare": _square_alone}, "without the mask that was passed"),),
)
def square_mask_decode(inputs: Inputs) -> Inputs:
    """builds a square causal mask from the number of queries, although there can be more keys.

    While a model generates text it keeps the keys and values of earlier tokens in a cache, and only the new tokens
    ask. Then there are more keys than queries, and a (query_len, query_len) mask does not fit the (query_len,
    key_len) scores.

    Bad:
        keep = torch.tril(torch.ones(query_len, query_len)).bool()
    Good:
        keep = torch.tril(torch.ones(query_len, key_len), diagonal=key_len - query_len).bool()

    Effect: Fine on whole texts; an exception as soon as a cache is in use.
    Nudge: Which shape do the scores have when four new tokens look back on ten?
    Fix: Give the mask both lengths and shift its diagonal by key_len - query_len, or use the mask you are passed.
    """
    square = causal_keep_mask(inputs.query.shape[-2], device=inputs.keep_mask.device)
    return replace(inputs, keep_mask=inputs.keep_mask & square)


def _top_left(inputs: Inputs) -> Tensor:
    query_len, key_len = inputs.keep_mask.shape[-2:]
    return torch.ones(query_len, key_len, dtype=torch.bool, device=inputs.keep_mask.device).tril()


@misconception(
    "AG325",
    "sdpa-is-causal-topleft",
    replaces="prepare",
    family="mask",
    causal=True,
    probe="decode",
    variants=(
        StageOverride(
            {"prepare": lambda inputs: replace(inputs, keep_mask=inputs.keep_mask & _top_left(inputs))}, "both masks"
        ),
    ),
)
def sdpa_is_causal_topleft(inputs: Inputs) -> Inputs:
    """aligns the causal mask at the first key, so that with a cache new tokens see only the oldest ones.

    With more keys than queries (a cache in use) the queries are the *last* tokens. torch.tril of a (query_len, key_len)
    matrix, and is_causal=True of scaled_dot_product_attention, treat them as the first: a single new token then sees
    nothing but key 0.

    Bad:
        F.scaled_dot_product_attention(query, key, value, is_causal=True)
    Good:
        F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    Effect: Right on whole texts; during generation every new token looks only at the beginning.
    Nudge: Which keys may the query see when there is one query and ten keys?
    Fix: Use the mask you are passed, or shift the diagonal by key_len - query_len.
    """
    return replace(inputs, keep_mask=_top_left(inputs)[None, None])


@misconception("AG347", "causal-in-encoder", replaces="mask", family="mask", causal=False)
def causal_in_encoder(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """hides the future, although the model reads in both directions.

    An encoder such as BERT sees a whole text at once, and every token may attend to every other one. Only a model that
    writes a text word by word, as GPT does, must not see what comes later.

    Bad:
        attn_scores = attn_scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))     # the padding only

    Effect: The first tokens are read without the rest of their sentence.
    Nudge: May the first token of a text attend to the last one in this model?
    Fix: Leave the triangle out, and block only what the mask that you are passed blocks.
    """
    return fill_later(fill_blocked(attn_scores, inputs), inputs)
