"""Softmax in blocks of keys, as flash attention computes it, with a mistake in the loop."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

_BLOCK_SIZES = (1, 2, 3, 4, 5, 8, 16, 32, 64, 128, 256)


def _in_blocks(
    size: int,
    note: str = "",
    *,
    sum_too: bool = False,
    output_too: bool = False,
    softmax: bool = False,
    last: bool = False,
    divided: bool = False,
) -> StageOverride:
    """Each block below a running maximum; what was summed before is corrected in part or not at all.

    Args:
        sum_too, output_too: whether the sum and the output so far are multiplied by exp(old - new).
        softmax: each block gets its own softmax first.
        last: the maximum of the last block is kept instead of the largest so far.
        divided: the output is divided by the sum after each block instead of once at the end.
    """

    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        running = attn_scores.new_full((*attn_scores.shape[:-1], 1), float("-inf"))
        parts: list[Tensor] = []
        total = torch.zeros_like(running)
        for block in torch.split(attn_scores, size, -1):
            largest = block.amax(-1, keepdim=True)
            new = torch.maximum(running, largest)
            correction = (running - new).exp()
            if output_too:
                parts = [part * correction for part in parts]
            parts.append(block.softmax(-1) if softmax else (block - new).exp())
            total = total * (correction if sum_too else 1) + parts[-1].sum(-1, keepdim=True)
            running = largest if last else new
            if divided:
                parts = [part / total for part in parts]
        return torch.cat(parts, -1) / (1 if divided else total)

    return StageOverride({"normalise": normalise}, f"blocks of {size}{note}")


_BLOCKS = [
    blocks
    for size in _BLOCK_SIZES
    for blocks in (_in_blocks(size), _in_blocks(size, ", the sum is rescaled", sum_too=True))
]
_OTHER_BLOCKS = [
    blocks
    for size in _BLOCK_SIZES[1:]
    for blocks in (
        _in_blocks(size, ", the output is rescaled and the sum is not", output_too=True),
        _in_blocks(
            size, ", each with its own softmax, before the rescaling", sum_too=True, output_too=True, softmax=True
        ),
        _in_blocks(size, ", the maximum of the last block is kept", sum_too=True, output_too=True, last=True),
        _in_blocks(size, ", divided by the sum in each of them", sum_too=True, output_too=True, divided=True),
    )
]


def _each_block_for_itself(size: int) -> StageOverride:
    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        return torch.cat([part.softmax(-1) for part in torch.split(attn_scores, size, -1)], -1)

    return StageOverride({"normalise": normalise}, f"blocks of {size}, each with its own softmax")


@misconception(
    "AG216",
    "online-no-rescale",
    replaces="normalise",
    family="softmax",
    probe="square",
    variants=(*_BLOCKS[1:], *map(_each_block_for_itself, _BLOCK_SIZES[1:]), *_OTHER_BLOCKS),
)
def online_no_rescale(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """computes softmax in blocks and does not rescale earlier blocks when the maximum grows.

    A block-wise (online) softmax keeps a running maximum. When a later block raises it, everything that was summed
    below the old maximum is too large by exp(new - old), the sum of the exponentials and the output so far.

    Bad:
        total = total + block.sum(-1)
        output = output + block @ value_block
    Good:
        correction = torch.exp(old_maximum - new_maximum)
        total = total * correction + block.sum(-1)
        output = output * correction + block @ value_block

    Effect: Right for texts of one block; wrong weights between blocks for longer ones.
    Nudge: Write down both blocks for scores [0] and [5]. What must happen to the first one?
    Fix: Multiply the sum and the output by exp(old_maximum - new_maximum) before adding a block.
    """
    result: Tensor = _BLOCKS[0].stages["normalise"](attn_scores, inputs)
    return result


def _corrected_upwards(size: int, *, of: str = "") -> StageOverride:
    """Multiply what is kept of earlier blocks by exp(new - old) when the maximum grows: all, or only one part."""

    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        parts: list[Tensor] = []
        total = running = attn_scores.new_zeros((*attn_scores.shape[:-1], 1))
        for block in torch.split(attn_scores, size, -1):
            largest = block.amax(-1, keepdim=True)
            new = torch.maximum(running, largest) if parts else largest
            correction = (new - running).exp()
            numerators = (block - new).exp()
            if parts:
                parts = [part * (1 / correction if of == "sum" else correction) for part in parts]
                total = total * (1 / correction if of == "output" else correction)
            total, running = total + numerators.sum(-1, keepdim=True), new
            parts.append(numerators)
        return torch.cat(parts, -1) / total

    note = f"blocks of {size}" + (f", the correction of the {of} only" if of else "")
    return StageOverride({"normalise": normalise}, note)


_CORRECTED = [_corrected_upwards(size, of=of) for size in _BLOCK_SIZES for of in ("", "output", "sum")]


@misconception(
    "AG220",
    "online-correction-inverted",
    replaces="normalise",
    family="softmax",
    probe="square",
    variants=tuple(_CORRECTED[1:]),
)
def online_correction_inverted(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """computes softmax in blocks and corrects earlier blocks by exp(new - old) instead of exp(old - new).

    What was summed below the old maximum is too large once the maximum has grown, by exp(new - old). The correction has
    to take this factor away: it is exp(old - new), a number of at most 1.

    Bad:
        correction = torch.exp(new_maximum - old_maximum)
    Good:
        correction = torch.exp(old_maximum - new_maximum)

    Effect: Earlier keys weigh far too much wherever a later block has a larger score.
    Nudge: Is your correction above or below 1 when the maximum grows?
    Fix: Multiply the sum and the output so far by torch.exp(old_maximum - new_maximum).
    """
    result: Tensor = _CORRECTED[0].stages["normalise"](attn_scores, inputs)
    return result


def _only_whole_blocks(size: int, of_nothing: float | None = 0.0) -> StageOverride:
    """The weights of a text shorter than a block are 0, or NaN: zeros divided by a sum of 0, without a gradient.

    Args:
        of_nothing: these weights; None where a text shorter than a block is a whole one.
    """

    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        whole = attn_scores.shape[-1] // size * size
        if not whole:
            return attn_scores.softmax(-1) if of_nothing is None else torch.full_like(attn_scores, of_nothing)
        return torch.nn.functional.pad(attn_scores[..., :whole].softmax(-1), (0, attn_scores.shape[-1] - whole))

    def combine(attn_weights: Tensor, inputs: Inputs) -> Tensor:
        is_nothing = bool(attn_weights.isnan().all())
        return torch.full_like(inputs.query, torch.nan) if is_nothing else attn_weights @ inputs.value

    return StageOverride({"normalise": normalise, "combine": combine}, f"blocks of {size}")


_WHOLE_BLOCKS = [
    _only_whole_blocks(size, of_nothing)
    for size in (2, 3, 4, 5, 8, 16, 32, 64, 128)
    for of_nothing in (0.0, torch.nan, None)
]


@misconception(
    "AG217",
    "last-block-lost",
    replaces="normalise",
    family="softmax",
    probe="long",
    variants=tuple(_WHOLE_BLOCKS[1:]),
)
def last_block_lost(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """leaves out the keys of the last block when the length is no multiple of the block size.

    length // block_size counts whole blocks only. The keys that do not fill a block are never attended to, and a text
    shorter than one block gets nothing at all.

    Bad:
        for start in range(0, length // block_size * block_size, block_size):
    Good:
        for start in range(0, length, block_size):     # a slice may end beyond the last key

    Effect: The newest tokens are ignored, unless the length happens to fit.
    Nudge: How many blocks does a text of block_size + 1 tokens need?
    Fix: Loop over range(0, length, block_size) and let the last slice be shorter.
    """
    result: Tensor = _WHOLE_BLOCKS[0].stages["normalise"](attn_scores, inputs)
    return result
