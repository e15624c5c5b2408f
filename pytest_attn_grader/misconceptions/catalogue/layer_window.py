"""Mistakes in the sliding window of a layer that has one: its size, its edge, and the future beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.window import find_seen_keys
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _keeping(keep_mask: Callable[[Inputs, int], Tensor], note: str = "") -> StageOverride:
    """Replace the mask by that of `keep_mask(inputs, window)`."""

    def prepare(inputs: Inputs) -> Inputs:
        window = inputs.sliding_window
        return inputs if window is None else replace(inputs, keep_mask=keep_mask(inputs, window))

    return StageOverride({"prepare": prepare}, note)


def _wider_by(keys: int) -> StageOverride:
    note = f"one key {'more' if keys > 0 else 'less'} than the window"
    return _keeping(lambda inputs, window: inputs.mask_without_window & inputs.is_near(window + keys), note)


@misconception(
    "AG341",
    "window-off-by-one",
    replaces="prepare",
    family="mask",
    probe="long",
    windowed=True,
    variants=(_wider_by(-1),),
)
def window_off_by_one(inputs: Inputs) -> Inputs:
    """attends to one key more or one key less than the layer's window has.

    A window of 4 holds 4 keys: the token's own and the three before it. So the distance of a key is less than the
    window. With `<=` there are five keys, and counted from the token before there are three.

    Bad:
        keep = (key_position <= query_position) & (query_position - key_position <= window)
    Good:
        keep = (key_position <= query_position) & (query_position - key_position < window)

    Effect: Texts shorter than the window are right. In longer ones the oldest key is wrong for every token.
    Nudge: Count the keys of your last query that have weight.
    Fix: Compare with `<`: the window counts the token itself.
    """
    result: Inputs = _wider_by(1).stages["prepare"](inputs)
    return result


@misconception("AG342", "window-ignored", replaces="prepare", family="mask", probe="long", windowed=True)
def window_ignored(inputs: Inputs) -> Inputs:
    """attends to all of the past, although the layer has a sliding window.

    The layer was trained with a window: each token sees the last keys only, and older ones get weight 0. A causal mask
    without the window gives weight to keys that the layer has never seen.

    Bad:
        keep = key_position <= query_position
    Good:
        keep = (key_position <= query_position) & (query_position - key_position < window)

    Effect: Texts shorter than the window are right. In longer ones weight goes to tokens that are too old.
    Nudge: Does the last query of a long text give any weight to the first key?
    Fix: Take the window as an argument of the constructor (sliding_window), and block the keys before it.
    """
    return replace(inputs, keep_mask=inputs.mask_without_window)


def _of_size(size: int) -> StageOverride:
    return _keeping(lambda inputs, _: inputs.mask_without_window & inputs.is_near(size), f"the last {size} keys")


def _fit_size(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Fit the window to how far back the student's weights reach, where that is no size that has its own name."""
    windows = {case.probes[name].sliding_window for name in case.attempts} - {None}
    found = find_seen_keys(case)
    if found is None or len(windows) != 1:
        return ()
    seen, key_len = found
    size, window = key_len - int(seen[0]), min(each for each in windows if each is not None)
    return (_of_size(size),) if 0 < size < key_len and abs(size - window) > 1 else ()


@misconception("AG343", "window-size", replaces="prepare", family="mask", probe="long", windowed=True, fit=_fit_size)
def window_size(inputs: Inputs) -> Inputs:
    """has a sliding window of another size than the layer's.

    The size of the window belongs to the trained model, like the number of heads. A layer that was trained to see 4
    keys expects the weights of 4 keys, and a window of half or twice that size gives others.

    Bad:
        keep = keep & (query_position - key_position < 2 * window)
    Good:
        keep = keep & (query_position - key_position < window)

    Effect: Texts shorter than both windows are right, and all longer ones are wrong.
    Nudge: From which line does the size of your window come?
    Fix: Take the window as an argument of the constructor (sliding_window), which gets the model's value.
    """
    window = inputs.sliding_window
    result: Inputs = _of_size(inputs.key.shape[-2] if window is None else 2 * window).stages["prepare"](inputs)
    return result


@misconception(
    "AG344",
    "window-both-sides",
    replaces="prepare",
    family="mask",
    windowed=True,
    variants=(
        _keeping(
            lambda inputs, window: inputs.mask_without_window[..., -1:, :] & inputs.is_near(window),
            "the future is not hidden at all",
        ),
        _keeping(
            lambda inputs, window: inputs.mask_without_window[..., -1:, :] & (inputs.distances.abs() <= window // 2),
            "half of the window on either side",
        ),
    ),
)
def window_both_sides(inputs: Inputs) -> Inputs:
    """has a window that reaches into the future.

    A window says how far back a token sees. What comes after a token is hidden by the causal mask, which the window
    does not replace: both conditions have to hold.

    Bad:
        keep = (query_position - key_position).abs() < window
    Good:
        keep = (key_position <= query_position) & (query_position - key_position < window)

    Effect: Training looks brilliant, because every token sees the next one, and the model can generate nothing.
    Nudge: Which sign has the distance of a later key, and is it smaller than the window?
    Fix: Combine the window with the causal mask by &.
    """
    window = inputs.sliding_window or inputs.key.shape[-2]
    keep_mask = inputs.mask_without_window[..., -1:, :] & (inputs.distances.abs() < window)
    return replace(inputs, keep_mask=keep_mask)
