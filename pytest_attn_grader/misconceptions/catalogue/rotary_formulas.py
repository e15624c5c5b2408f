"""Rotary positions by a wrong formula: mixed layouts, a lost minus, other exponents, a wrong axis or width, twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.misconceptions.catalogue.groups import group_size
from pytest_attn_grader.misconceptions.catalogue.rotary import Turn, count_past, rotary_mistake, rotated
from pytest_attn_grader.misconceptions.stages import Inputs

# The pair (a, b), cosine and sine, and what becomes of the pair.
_Formula = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
# The right exponents of the base, 2 i / head_dim, and what is taken for them.
_Exponents = Callable[[Tensor], Tensor]


def _apply_to_both(change: Callable[[Tensor, int], Tensor]) -> Turn:
    """Change query and key, each with the position of its first token."""
    return lambda inputs: replace(inputs, query=change(inputs.query, count_past(inputs)), key=change(inputs.key, 0))


def _angles(states: Tensor, start: int, base: float, exponents: _Exponents = lambda right: right) -> Tensor:
    """Position times frequency, ``(seq_len, head_dim / 2)``."""
    seq_len, head_dim = states.shape[-2:]
    positions = torch.arange(start, start + seq_len, device=states.device, dtype=torch.float64)
    right = torch.arange(0, head_dim, 2, device=states.device, dtype=torch.float64) / head_dim
    return positions[:, None] * base ** -exponents(right)


def _mixed(halves: bool, base: float = BASE) -> Turn:
    """Dimensions are paired in one way, and the angles stand as the other one needs them."""

    def turn(states: Tensor, start: int) -> Tensor:
        angles = _angles(states, start, base)
        wide = angles.repeat_interleave(2, -1) if halves else torch.cat([angles, angles], -1)
        if halves:
            first, second = states.chunk(2, -1)
            across = torch.cat([-second, first], -1)
        else:
            across = torch.stack([-states[..., 1::2], states[..., 0::2]], -1).flatten(-2)
        return states * wide.cos().to(states) + across * wide.sin().to(states)

    return _apply_to_both(turn)


@rotary_mistake("AG438", "rotary-layouts-mixed", lambda halves, base: [("", _mixed(halves, base))])
def rotary_layouts_mixed(inputs: Inputs) -> Inputs:
    """pairs the dimensions in one way and lays out the angles in the other.

    There are two layouts. With rotate_half dimension i is turned with i + head_dim / 2, and the angles are repeated as
    a whole: cat((angles, angles)). With neighbours, 2 i and 2 i + 1, each angle is repeated by itself:
    repeat_interleave(2). Mixed, the two numbers of a pair are turned by different angles, which is no rotation.

    Bad:
        angles = angles.repeat_interleave(2, dim=-1)
        query = query * angles.cos() + rotate_half(query) * angles.sin()
    Good:
        angles = torch.cat((angles, angles), dim=-1)
        query = query * angles.cos() + rotate_half(query) * angles.sin()

    Effect: Scores depend on absolute positions, more with every token.
    Nudge: Which two dimensions are a pair, and which angle does each of them get?
    Fix: cat((angles, angles)) goes with rotate_half, repeat_interleave(2) with neighbours.
    """
    return _mixed(halves=True)(inputs)


def _by_formula(halves: bool, base: float, formula: _Formula, exponents: _Exponents = lambda right: right) -> Turn:
    def turn(states: Tensor, start: int) -> Tensor:
        angles = _angles(states, start, base, exponents)
        first, second = states.chunk(2, -1) if halves else (states[..., 0::2], states[..., 1::2])
        one, other = formula(first, second, angles.cos().to(states), angles.sin().to(states))
        return torch.cat([one, other], -1) if halves else torch.stack([one, other], -1).flatten(-2)

    return _apply_to_both(turn)


_FORMULAS: tuple[tuple[str, _Formula], ...] = (
    ("no minus: a cos + b sin and b cos + a sin", lambda a, b, cos, sin: (a * cos + b * sin, b * cos + a * sin)),
    ("two minus: a cos - b sin and b cos - a sin", lambda a, b, cos, sin: (a * cos - b * sin, b * cos - a * sin)),
    ("a twice: a cos - b sin and a cos + a sin", lambda a, b, cos, sin: (a * cos - b * sin, a * cos + a * sin)),
    ("b twice: a cos - b sin and b cos + b sin", lambda a, b, cos, sin: (a * cos - b * sin, b * cos + b * sin)),
    ("the cosine alone: a cos and b cos", lambda a, b, cos, sin: (a * cos, b * cos)),
    ("the sine alone: -b sin and a sin", lambda a, b, cos, sin: (-b * sin, a * sin)),
    (
        "the cosine for both: a cos - b cos and b cos + a cos",
        lambda a, b, cos, _: (a * cos - b * cos, b * cos + a * cos),
    ),
    (
        "each with itself: a cos - a sin and b cos + b sin",
        lambda a, b, cos, sin: (a * cos - a * sin, b * cos + b * sin),
    ),
    ("a cos - b sin and a cos + b sin", lambda a, b, cos, sin: (a * cos - b * sin, a * cos + b * sin)),
)


@rotary_mistake(
    "AG439",
    "rotary-formula",
    lambda halves, base: [(note, _by_formula(halves, base, formula)) for note, formula in _FORMULAS],
)
def rotary_formula(inputs: Inputs) -> Inputs:
    """turns the pairs of query and key by a formula that is no rotation: a lost minus or term, or one half twice.

    A pair (a, b) at angle t becomes (a cos t - b sin t, b cos t + a sin t). There is one minus, and each half
    is used in both. Without it, or with the same half in both places, the length of the pair changes with the position.

    Bad:
        return torch.cat((second, first), dim=-1)       # rotate_half
    Good:
        return torch.cat((-second, first), dim=-1)      # rotate_half

    Effect: Scores grow or shrink with the position instead of depending on distances.
    Nudge: Is a pair as long after your rotation as before it?
    Fix: Compute (a cos - b sin, b cos + a sin), with rotate_half as cat((-second, first)).
    """
    return _by_formula(halves=True, base=BASE, formula=_FORMULAS[0][1])(inputs)


_EXPONENTS: tuple[tuple[str, _Exponents], ...] = (
    ("twice as large, 4 i / head_dim", lambda right: 2 * right),
    ("half as large, i / head_dim, or of a base that is its root", lambda right: right / 2),
    ("the same for all pairs", torch.zeros_like),
    ("in reverse order, the slowest pair first", lambda right: right.flip(0)),
    ("from 0 to 1, as of linspace(0, 1, head_dim / 2)", lambda right: right / right[-1:].clamp_min(1e-9)),
    ("counted from 1, (2 i + 1) / head_dim", lambda right: right + 0.5 / len(right)),
    ("counted from 1, 2 (i + 1) / head_dim", lambda right: right + 1.0 / len(right)),
)


def _with_exponents(halves: bool, base: float, exponents: _Exponents) -> Turn:
    return _by_formula(halves, base, lambda a, b, cos, sin: (a * cos - b * sin, b * cos + a * sin), exponents)


@rotary_mistake(
    "AG447",
    "rotary-exponents",
    lambda halves, base: [
        (f"exponents {note}", _with_exponents(halves, base, exponents)) for note, exponents in _EXPONENTS
    ],
    note=f"exponents {_EXPONENTS[0][0]}",
)
def rotary_exponents(inputs: Inputs) -> Inputs:
    """computes the angles of the rotary positions with wrong exponents.

    Pair i, counted from 0, turns by position * base ** (-2 i / head_dim). torch.arange(0, head_dim, 2) is 2 i already:
    with another factor of 2, or divided by head_dim / 2, the exponents are twice as large; arange(head_dim / 2) is i.

    Bad:
        inv_freq = 1.0 / theta ** (2 * torch.arange(0, head_dim, 2) / head_dim)
    Good:
        inv_freq = 1.0 / theta ** (torch.arange(0, head_dim, 2) / head_dim)

    Effect: The pairs turn at other speeds than those that the weights were trained with.
    Nudge: Write down the exponent of the first, the second and the last pair: 0, 2 / head_dim, just below 1?
    Fix: Write 1.0 / theta ** (torch.arange(0, head_dim, 2) / head_dim).
    """
    return _with_exponents(True, BASE, _EXPONENTS[0][1])(inputs)


def _partly(halves: bool, base: float, parts: int, *, over_all: bool) -> Turn:
    """Only the first head_dim / parts dimensions are turned; the exponents count over them, or over all dimensions."""

    def turn(states: Tensor, start: int) -> Tensor:
        width = states.shape[-1] // parts // 2 * 2
        # Exponents 2 i / head_dim are those of another base over the width of the part.
        own = base ** (width / states.shape[-1]) if over_all else base
        part = rotated(states[..., :width], halves=halves, start=start, base=own)
        return torch.cat([part, states[..., width:]], -1)

    return _apply_to_both(turn)


@rotary_mistake(
    "AG440",
    "rotary-partial",
    lambda halves, base: [
        (f"1/{parts} of the dimensions", _partly(halves, base, parts, over_all=over_all))
        for parts in (2, 4)
        for over_all in (False, True)
    ],
)
def rotary_partial(inputs: Inputs) -> Inputs:
    """rotates a part of the dimensions only, where the model rotates all of them.

    Some models (GPT-NeoX with rotary_pct, Phi) leave three quarters of each head as they are. How many dimensions turn
    is part of the trained model: those that should turn and do not know nothing of positions.

    Bad:
        turned, rest = query[..., : head_dim // 4], query[..., head_dim // 4 :]
        query = torch.cat((rotate(turned), rest), dim=-1)
    Good:
        query = rotate(query)

    Effect: Heads find tokens by what they are, and hardly by where they stand.
    Nudge: How wide is the tensor that goes through your rotation?
    Fix: Rotate all of head_dim.
    """
    return _partly(halves=True, base=BASE, parts=2, over_all=False)(inputs)


def _over_heads(halves: bool, base: float = BASE) -> Turn:
    def turn(states: Tensor, *, group: int = 1) -> Tensor:
        some = states[:, ::group].transpose(1, 2)  # (batch, seq, key_value_heads, head_dim)
        return rotated(some, halves=halves, base=base).transpose(1, 2).repeat_interleave(group, 1)

    return lambda inputs: replace(inputs, query=turn(inputs.query), key=turn(inputs.key, group=group_size(inputs.key)))


@rotary_mistake("AG443", "rotary-over-heads", lambda halves, base: [("", _over_heads(halves, base))])
def rotary_over_heads(inputs: Inputs) -> Inputs:
    """counts the positions over the heads instead of over the tokens.

    A rotation written for (batch, seq, heads, head_dim) takes axis 1 for the positions, one for (batch, heads, seq,
    head_dim) takes axis 2. Given the other layout it numbers the heads: every token of a head is turned by the same
    angle, and nothing tells positions apart.

    Bad:
        query = query.view(batch, seq, heads, head_dim).transpose(1, 2)
        query = rotate(query)   # takes axis 1 for the tokens
    Good:
        query = rotate(query.view(batch, seq, heads, head_dim)).transpose(1, 2)

    Effect: The order of the tokens is lost; nothing raises where the tables are long enough.
    Nudge: Along which axis of its input does your rotation count, and what is there when it is called?
    Fix: Rotate before the transpose, or count along axis -2, which is the tokens in (batch, heads, seq, head_dim).
    """
    return _over_heads(halves=True)(inputs)


def _twice(halves: bool, base: float = BASE) -> Turn:
    def turn(states: Tensor, start: int) -> Tensor:
        once = rotated(states, halves=halves, start=start, base=base)
        return rotated(once, halves=halves, start=start, base=base)

    return _apply_to_both(turn)


def _key_twice(halves: bool, base: float = BASE) -> Turn:
    rotation = partial(rotated, halves=halves, base=base)
    return lambda inputs: replace(
        inputs, query=rotation(inputs.query, start=count_past(inputs)), key=rotation(rotation(inputs.key))
    )


@rotary_mistake(
    "AG444",
    "rotary-twice",
    lambda halves, base: [("", _twice(halves, base)), ("the query once, the key twice", _key_twice(halves, base))],
)
def rotary_twice(inputs: Inputs) -> Inputs:
    """rotates query or key, or both of them, twice.

    Two rotations by t are one by 2 t: with both tensors rotated twice, every token stands twice as far away.
    It happens where the projection rotates already and the attention does so again, or where a helper is called both in
    the layer and in the block around it, or both before and after the cache.

    Bad:
        query, key = rotate(query), rotate(key)
        attn_scores = rotate(query) @ rotate(key).transpose(-2, -1)
    Good:
        query, key = rotate(query), rotate(key)
        attn_scores = query @ key.transpose(-2, -1)

    Effect: A head that looks one token back finds it at half the distance, which is no token.
    Nudge: On the way from the projection to the scores, how often is the rotation called?
    Fix: Keep one of the two calls.
    """
    return _twice(halves=True)(inputs)
