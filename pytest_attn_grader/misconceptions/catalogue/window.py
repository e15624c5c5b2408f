"""Keys that are left out although the mask keeps them: a window, the best few, or a bias by distance."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_blocked


def _windowed(size: int, *, with_first: bool = False) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        near = inputs.is_near(size)
        if with_first:
            near[:, 0] = True
        return attn_scores.masked_fill(~(near & inputs.keep_mask), inputs.fill)

    return StageOverride({"mask": mask}, f"the last {size} keys" + (" and the first" if with_first else ""))


def find_seen_keys(case: SubmissionObservations) -> tuple[Tensor, int] | None:
    """Find the keys that the student's last query sees on the longest probe with weights, of how many."""
    for name in ("long", "square", "unpadded"):
        weights = case.kept_weights(name)
        if weights is None:
            continue
        last = weights[..., -1, :].reshape(-1, weights.shape[-1])
        seen = (last > 0).any(0).nonzero().flatten()
        return (seen, weights.shape[-1]) if seen.numel() and bool(last[:, -1].any()) else None
    return None


def _fit_window(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Fit the window to how far back the student's weights reach."""
    found = find_seen_keys(case)
    if found is None:
        return ()
    seen, key_len = found
    size = key_len - int(seen[0])
    with_first = key_len - int(seen[1]) if seen.numel() > 1 and int(seen[0]) == 0 else 0
    fitted = [_windowed(size)] if 0 < size < key_len else []
    return (*fitted, *([_windowed(with_first, with_first=True)] if 0 < with_first < key_len - 1 else []))


@misconception(
    "AG326",
    "sliding-window",
    replaces="mask",
    family="mask",
    probe="long",
    fill_matters=True,
    fit=_fit_window,
    windowed=False,
)
def sliding_window(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """attends to a window of recent keys only: older keys always get weight 0.

    A window makes long texts cheaper, at the price of everything further back. The mask you are given keeps all of the
    past, and the model was trained to use it.

    Bad:
        near = query_position - key_position < window
        attn_scores = attn_scores.masked_fill(~(mask & near), float("-inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Right for texts shorter than the window; what lies further back is forgotten.
    Nudge: Does the last query of a long text give any weight to the first key?
    Fix: Use the mask as it is passed.
    """
    result: Tensor = _windowed(4).stages["mask"](attn_scores, inputs)
    return result


def _best(count: int) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        attn_scores = fill_blocked(attn_scores, inputs)
        lowest = attn_scores.topk(min(count, attn_scores.shape[-1]), dim=-1).values[..., -1:]
        return attn_scores.masked_fill(attn_scores < lowest, float("-inf"))

    return StageOverride({"mask": mask}, f"the {count} largest scores")


@misconception(
    "AG327",
    "top-k",
    replaces="mask",
    family="mask",
    variants=tuple(_best(count) for count in (2, 3, 4, 5, 6, 8, 10, 16, 20, 32, 50, 64)),
    shown_by=lambda source: source.selects_scores(),
)
def top_k(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """keeps the largest scores of every row only (top-k attention).

    With top-k all but the k best keys get weight 0. That is another function: the many small weights that are cut off
    add up, and the kept ones grow by what was cut.

    Bad:
        lowest = attn_scores.topk(k, dim=-1).values[..., -1:]
        attn_scores = attn_scores.masked_fill(attn_scores < lowest, float("-inf"))
    Good:
        attn_weights = attn_scores.softmax(-1)

    Effect: Right where at most k keys are kept; too peaked everywhere else.
    Nudge: How many weights of the last row are above 0?
    Fix: Remove the selection; softmax weighs all kept keys.
    """
    result: Tensor = _best(1).stages["mask"](attn_scores, inputs)
    return result


def _biased(slopes: dict[int, Tensor], note: str) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        slope = slopes[attn_scores.shape[1]].to(attn_scores)
        return fill_blocked(attn_scores - slope[:, None, None] * inputs.distances, inputs)

    return StageOverride({"mask": mask}, note)


def _fit_slopes(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """The slope of every head, for each number of heads, read off the student's weights."""
    slopes: dict[int, Tensor] = {}
    for name in ("unpadded", "single", "narrow", "groups"):
        found = case.distance_slopes(name)
        if found is None and name in case.attempts:
            return ()
        if found is not None:
            slopes[found.numel()] = found
    if len(slopes) < 2 or all(float(slope.abs().max()) < 1e-3 for slope in slopes.values()):
        return ()
    listed = ", ".join(f"{slope:.3g}" for slope in next(iter(slopes.values())).tolist())
    return (_biased(slopes, f"with slopes of {listed}"),)


def _geometric(num_heads: int) -> Tensor:
    return 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads)


@misconception("AG328", "alibi", replaces="mask", family="mask", fit=_fit_slopes)
def alibi(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """lowers the scores with the distance between query and key (ALiBi, a position bias).

    A bias by distance is how some models tell positions apart. This model has other positions already, and was trained
    without a bias: with it every head looks at nearer tokens than it should.

    Bad:
        attn_scores = attn_scores - slope * distance
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Attention moves towards recent tokens, in each head by another amount.
    Nudge: What is added to the scores other than the mask?
    Fix: Remove the bias; add or fill nothing but the mask.
    """
    slope = _geometric(attn_scores.shape[1]).to(attn_scores)
    return fill_blocked(attn_scores - slope[:, None, None] * inputs.distances, inputs)
