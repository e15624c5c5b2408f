"""Softmax in blocks of keys, of the block size that the source has: blocks combined wrongly, and blocks left out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.source import SubmissionSource
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_blocked
from pytest_attn_grader.misconceptions.syntax import name_of

_MAX_BLOCK_SIZE = 512
_MAX_SIZES = 6


def block_sizes(source: SubmissionSource) -> list[int]:
    """The whole numbers that may be a block size, where a loop takes exponentials block by block; else none."""
    nodes = source.nodes
    steps = (node.func for node in nodes if isinstance(node, ast.Call) and len(node.args) == 3)
    in_blocks = source.calls("split", "chunk") or any(name_of(step) == "range" for step in steps)
    in_blocks |= any(isinstance(node, (ast.While, ast.FloorDiv)) for node in nodes)
    loops = any(isinstance(node, (ast.For, ast.While, ast.comprehension)) for node in nodes)
    if not (in_blocks and loops and source.calls("exp", "exp2", "exp_", "softmax", "logsumexp")):
        return []
    numbers = [node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int]
    return [*dict.fromkeys(number for number in numbers if 2 <= number <= _MAX_BLOCK_SIZE)][:_MAX_SIZES]


def _running(
    attn_scores: Tensor,
    _: Inputs,
    *,
    size: int,
    output: float = 1,
    total: float = 1,
    below: str = "new",
    start: float | None = float("-inf"),
    stuck: bool = False,
    late: str = "",
    last_total: bool = False,
    divided: bool = False,
    again: bool = False,
) -> Tensor:
    """Weights of an online softmax: numerators below a running maximum, corrected when it grows, and their sum.

    Args:
        output, total: the power of exp(old - new) with which the output and the sum so far are multiplied.
        below: the maximum that numerators are taken below: the "new" one, the "old" one or the "block"'s own.
        start: the maximum before the first block; None for the smallest number there is.
        stuck: the maximum stays what it was before the first block.
        late: what gets the correction after the new block was added: "output" or "total".
        last_total: the sum is that of the last block.
        divided: the output is divided by the sum after each block too.
        again: the output, which is right already, is divided by the sum once more.
    """
    smallest = torch.finfo(attn_scores.dtype).min
    running = attn_scores.new_full((*attn_scores.shape[:-1], 1), smallest if start is None else start)
    parts: list[Tensor] = []
    denominator = torch.zeros_like(running)
    for block in torch.split(attn_scores, size, -1):
        own = block.amax(-1, keepdim=True)
        new = torch.maximum(running, own)
        correction = (running - new).exp() if parts or late or stuck else torch.ones_like(running)
        numerators = (block - {"new": new, "old": running if parts else new, "block": own}[below]).exp()
        summed = numerators.sum(-1, keepdim=True)
        if late == "output":
            parts = [part * correction for part in (*parts, numerators)]
        else:
            parts = [*(part * correction**output for part in parts), numerators]
        before = torch.zeros_like(denominator) if last_total else denominator
        denominator = (before + summed) * correction if late == "total" else before * correction**total + summed
        parts = [part / denominator for part in parts] if divided else parts
        running = running if stuck else new
    weights = torch.cat(parts, -1) / denominator
    return weights / denominator if again else weights


def _merged(
    attn_scores: Tensor, _: Inputs, *, size: int, factors: Callable[[list[Tensor]], Sequence[Tensor]]
) -> Tensor:
    """The softmax of each block times a factor."""
    blocks = [*torch.split(attn_scores, size, -1)]
    return torch.cat([block.softmax(-1) * factor for block, factor in zip(blocks, factors(blocks), strict=True)], -1)


def _by_logsumexp(blocks: list[Tensor]) -> Sequence[Tensor]:
    found = torch.stack([block.logsumexp(-1, keepdim=True) for block in blocks])
    return (found / found.sum(0)).unbind()


def _one_only(blocks: list[Tensor], *, place: int) -> Sequence[Tensor]:
    return torch.eye(len(blocks), dtype=blocks[0].dtype)[place].unbind()


def _evenly(blocks: list[Tensor]) -> Sequence[Tensor]:
    return [blocks[0].new_tensor(1 / len(blocks))] * len(blocks)


_FORMS: dict[str, Callable[..., Tensor]] = {
    "the sum so far is multiplied by exp(old - new) twice": partial(_running, total=2),
    "the output so far is multiplied by exp(old - new) twice": partial(_running, output=2),
    "sum and output so far are multiplied by exp(old - new) twice": partial(_running, output=2, total=2),
    "numerators are taken below the maximum of the block alone": partial(_running, below="block"),
    "numerators are taken below the old maximum": partial(_running, below="old"),
    "the running maximum begins at 0, so that all exponentials are 0 below large negative scores": partial(
        _running, start=0.0
    ),
    "the running maximum is never updated": partial(_running, stuck=True, start=None),
    "the new block's output is multiplied by exp(old - new) too": partial(_running, late="output"),
    "the new block's sum is multiplied by exp(old - new) too": partial(_running, late="total"),
    "the sum is that of the last block only": partial(_running, last_total=True),
    "the output is divided by the sum after each block and again at the end": partial(_running, divided=True),
    "the output is divided by the sum once too often": partial(_running, again=True),
    "only the first block is used, as by a loop that ends after it": partial(
        _merged, factors=partial(_one_only, place=0)
    ),
    "only the last block is left: what was kept of earlier ones is overwritten, or multiplied by 0": partial(
        _merged, factors=partial(_one_only, place=-1)
    ),
    "the outputs of all blocks count the same, whatever their scores": partial(_merged, factors=_evenly),
    "blocks are weighted by their log-sum-exp, not by exp of it": partial(_merged, factors=_by_logsumexp),
}


def _fit_blocks(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    return tuple(_with_sizes(block_sizes(case.source)))


def _with_sizes(sizes: Sequence[int]) -> Iterator[StageOverride]:
    for size in sizes:
        for words, form in _FORMS.items():
            yield StageOverride({"normalise": partial(form, size=size)}, f"blocks of {size}: {words}")


@misconception(
    "AG222",
    "online-blocks-combined",
    replaces="normalise",
    family="softmax",
    probe="square",
    fit=_fit_blocks,
    shown_by=lambda source: bool(block_sizes(source)),
    only_shown=True,
)
def online_blocks_combined(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """computes softmax in blocks of keys and combines the blocks wrongly.

    A block-wise (online) softmax carries three things from block to block: the largest score so far, the sum of the
    exponentials below it, and the output so far, which is not yet divided. When a block raises the maximum, sum and
    output are multiplied by exp(old - new), each once, before the block's own part is added. One division by the sum
    after the last block makes an average of it.

    Bad:
        output = (output * correction + block @ value_block) / total     # in the loop
        return output / total
    Good:
        total = total * correction + block.sum(-1, keepdim=True)
        output = output * correction + block @ value_block
        ...                                                              # after the loop
        return output / total

    Effect: Right for texts of one block, or nearly so; wrong for longer ones.
    Nudge: Take a row of two blocks, with scores [0] and [5]. What are maximum, sum and output after each of them?
    Fix: In each block, in this order: new maximum, correction, block.exp() below the new maximum, sum, output.
    """
    return _running(attn_scores, inputs, size=2, divided=True)


_SKIPPED: dict[str, Callable[[Tensor, Tensor, int, int], Tensor]] = {
    "those after its last query, counted from the first query and not from the first key": (
        lambda i, j, rows, _: j > i + rows - 1
    ),
    "those that begin after the first query of its block": lambda i, j, _, __: j > i,
    "the block on the diagonal": lambda i, j, _, __: (j >= i) & (j > 0),
    "the block on the diagonal and the first one": lambda i, j, _, __: j >= i,
    "those with a larger number than the block of queries": lambda i, j, rows, columns: j // columns > i // rows,
}


def _skipping(attn_scores: Tensor, inputs: Inputs, *, rows: int, columns: int, words: str) -> Tensor:
    """Block what the mask blocks, and all of the key blocks that a block of queries leaves out."""
    queries, keys = (torch.arange(length) for length in attn_scores.shape[-2:])
    starts = (queries // rows * rows)[:, None], keys // columns * columns
    skipped = _SKIPPED[words](*starts, rows, columns).to(attn_scores.device)
    return fill_blocked(attn_scores, inputs).masked_fill(skipped, float("-inf"))


def _fit_skipped(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    sizes = block_sizes(case.source)[:4]
    return tuple(
        StageOverride(
            {"mask": partial(_skipping, rows=rows, columns=columns, words=words)},
            f"{rows} queries and {columns} keys a block; left out: {words}",
        )
        for rows, columns in product(sizes, sizes)
        for words in _SKIPPED
    )


@misconception(
    "AG223",
    "causal-block-skipped",
    replaces="mask",
    family="mask",
    probe="square",
    fit=_fit_skipped,
    shown_by=lambda source: bool(block_sizes(source)),
    only_shown=True,
)
def causal_block_skipped(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """goes through the keys in blocks and leaves out blocks in which some queries still have keys to see.

    A block of keys may be left out only where all of it is in the future of every query of the block. A block on the
    diagonal is partly in the past: it is computed, and the mask decides. Queries are counted from where they stand in
    the text: with a cache, the first of them is not token 0.

    Bad:
        if key_start > query_start: continue
    Good:
        offset = key_len - query_len
        if key_start > offset + query_end - 1: continue     # query_end is one past the last query

    Effect: The newest keys of a block of queries are missing, the token itself among them.
    Nudge: Which keys may the last query of a block see? Which of them does your loop reach?
    Fix: Compare the first key of a block with the last query of the block, at its place in the text.
    """
    return _skipping(attn_scores, inputs, rows=4, columns=4, words="the block on the diagonal")
