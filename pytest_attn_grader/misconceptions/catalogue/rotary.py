"""Mistakes in the rotary positions of a module: what is rotated, by which positions, angles and pairs.

A module whose keys are rotated rightly gets query and key rotated backwards: its numbers are those of plain attention,
but for what it does otherwise to the query or the value. Any other gets them as they are, and its numbers are those of
the wrong rotation alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE, Rotation, rotate
from pytest_attn_grader.misconceptions.base import Misconception, ParameterFitter, misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

_OTHER_BASES = (500.0, 1000.0, 5000.0, BASE, 50_000.0, 100_000.0, 500_000.0, 1_000_000.0)


def _rotation(halves: bool, base: float = BASE) -> Rotation:
    return Rotation("halves" if halves else "neighbours", base)


def rotated(tensor: Tensor, *, halves: bool, start: int = 0, base: float = BASE, sign: int = 1) -> Tensor:
    """Rotate ``(..., seq, width)`` by its positions, counted from `start`."""
    return rotate(tensor, _rotation(halves, base), backwards=sign < 0, first_position=start)


def count_past(inputs: Inputs) -> int:
    return inputs.key.shape[-2] - inputs.query.shape[-2]


Turn = Callable[[Inputs], Inputs]
# The forms of a mistake with one pairing (halves or not) and one base.
Forms = Callable[[bool, float], list[tuple[str, Turn]]]


def _variants(make: Forms, base: float = BASE) -> tuple[StageOverride, ...]:
    found = []
    for halves in (True, False):
        pairs = f"pairs: {_rotation(halves).pairs}"
        found += [
            StageOverride({"prepare": turn}, f"{note}; {pairs}" if note else pairs) for note, turn in make(halves, base)
        ]
    return tuple(found)


def with_base_of_model(make: Callable[[float], tuple[StageOverride, ...]]) -> ParameterFitter:
    """Make the forms of a mistake in a model with another base than the usual one."""

    def fit(case: SubmissionObservations) -> tuple[StageOverride, ...]:
        base = case.rotary_base
        return () if base is None or base == BASE else make(base)

    return fit


def rotary_mistake(code: str, slug: str, make: Forms, note: str = "") -> Callable[[Callable[..., Any]], Misconception]:
    """Make a `misconception` of this family, in every form that `make` gives for a pairing; `note` is the first's."""
    fit = with_base_of_model(partial(_variants, make))
    variants = _variants(make)
    return misconception(
        code, slug, replaces="prepare", family="rotary", note=note, rotary=True, variants=variants, fit=fit
    )


def _turn_value(halves: bool, base: float = BASE) -> Turn:
    return lambda inputs: replace(inputs, value=rotated(inputs.value, halves=halves, base=base))


def _turn_query(halves: bool, base: float = BASE, *, sign: int = 1) -> Turn:
    def turn(inputs: Inputs) -> Inputs:
        return replace(
            inputs, query=rotated(inputs.query, halves=halves, start=count_past(inputs), base=base, sign=sign)
        )

    return turn


def _turn_query_on(halves: bool, base: float = BASE, *, positions: int) -> Turn:
    """Every query is rotated by so many positions more than its own."""

    def turn(inputs: Inputs) -> Inputs:
        back = _turn_query(halves, base, sign=-1)(inputs)
        query = rotated(back.query, halves=halves, start=count_past(inputs) + positions, base=base)
        return replace(inputs, query=query)

    return turn


def _turn_query_otherwise(halves: bool, base: float = BASE) -> Turn:
    """The key is paired as `halves` says, and the query in the other way."""

    def turn(inputs: Inputs) -> Inputs:
        back = _turn_query(halves, base, sign=-1)(inputs)
        return replace(inputs, query=rotated(back.query, halves=not halves, start=count_past(inputs), base=base))

    return turn


def turn_both(halves: bool, *, base: float = BASE, sign: int = 1) -> Turn:
    def turn(inputs: Inputs) -> Inputs:
        query = rotated(inputs.query, halves=halves, start=count_past(inputs), base=base, sign=sign)
        return replace(inputs, query=query, key=rotated(inputs.key, halves=halves, base=base, sign=sign))

    return turn


def rotate_both(rotation: Rotation) -> Turn:
    """Rotate query and key by their positions."""
    return turn_both(rotation.pairing == "halves", base=rotation.base)


def _turn_width(halves: bool, base: float = BASE) -> Turn:
    def whole(tensor: Tensor, start: int) -> Tensor:
        num_heads, head_dim = tensor.shape[1], tensor.shape[-1]
        side_by_side = tensor.transpose(1, 2).flatten(2)  # (batch, seq, num_heads * head_dim)
        turned = rotated(side_by_side, halves=halves, start=start, base=base)
        return turned.reshape(*turned.shape[:2], num_heads, head_dim).transpose(1, 2)

    return lambda inputs: replace(inputs, query=whole(inputs.query, count_past(inputs)), key=whole(inputs.key, 0))


@rotary_mistake("AG431", "rotary-value", lambda halves, base: [(f"base {base:g}", _turn_value(halves, base))])
def rotary_value(inputs: Inputs) -> Inputs:
    """rotates the value by its position as well.

    Rotary positions make the score of a query and a key depend on their distance. Values are what is mixed by these
    scores: rotated, each arrives turned by its absolute position, and nothing turns it back.

    Bad:
        query, key, value = rotate(query), rotate(key), rotate(value)
    Good:
        query, key = rotate(query), rotate(key)

    Effect: The weights are right and every output is wrong but for the first token.
    Nudge: Which of the three tensors have to know where they stand?
    Fix: Rotate query and key, and leave the value alone.
    """
    return _turn_value(halves=True)(inputs)


@rotary_mistake(
    "AG432",
    "rotary-one-side",
    lambda halves, base: [
        ("only the query, or the query twice and the key once", _turn_query(halves, base)),
        ("only the key", _turn_query(halves, base, sign=-1)),
    ],
    note="only the query, or the query twice and the key once",
)
def rotary_one_side(inputs: Inputs) -> Inputs:
    """rotates only one of query and key by its position.

    The angle between a rotated query and a rotated key is the difference of their positions. With one of them rotated,
    it is the absolute position of the other, and a text that begins later gets other scores.

    Bad:
        query = rotate(query)
    Good:
        query, key = rotate(query), rotate(key)

    Effect: Scores depend on where a token stands instead of how far two tokens are apart.
    Nudge: What happens to the score when both tokens move one place to the right?
    Fix: Rotate the key in the same way as the query.
    """
    return _turn_query(halves=True)(inputs)


@rotary_mistake(
    "AG433",
    "rotary-offset",
    lambda halves, base: [
        ("the queries are one ahead", _turn_query_on(halves, base, positions=1)),
        ("the queries are one behind", _turn_query_on(halves, base, positions=-1)),
    ],
)
def rotary_offset(inputs: Inputs) -> Inputs:
    """counts the positions of queries and of keys from different numbers.

    A token has one position, whether it asks or is asked. Where queries are counted from 1 and keys from 0, every
    distance is one too large, also that of a token from itself.

    Bad:
        query = rotate(query, cos[1 : seq_len + 1], sin[1 : seq_len + 1])
    Good:
        query, key = rotate(query, cos[:seq_len], sin[:seq_len]), rotate(key, cos[:seq_len], sin[:seq_len])

    Effect: A head that looks one token back looks at the token itself, or two back.
    Nudge: At which position does each of the two tables begin?
    Fix: Take the same rows of the tables for query and key.
    """
    return _turn_query_on(halves=True, positions=1)(inputs)


@rotary_mistake("AG434", "rotary-sign", lambda halves, base: [("", turn_both(halves, base=base, sign=-1))])
def rotary_sign(inputs: Inputs) -> Inputs:
    """rotates query and key by the negative angles: a sign, sine and cosine, or the order of positions is exchanged.

    A pair (a, b) at angle t becomes (a cos t - b sin t, a sin t + b cos t). With the signs exchanged it turns the other
    way. A model that is trained so learns it; weights that were trained the usual way take the past for the future.
    Cosine and sine in each other's place do the same to the scores.

    Bad:
        first, second = a * cos + b * sin, b * cos - a * sin
    Good:
        first, second = a * cos - b * sin, b * cos + a * sin

    Effect: Distances have the other sign: a head that looks one token back no longer finds it.
    Nudge: In which of the two lines is the minus, and which table is the cosine?
    Fix: Put the minus before the sine in the first half of each pair; cosine and sine come in this order.
    """
    return turn_both(halves=True, sign=-1)(inputs)


@rotary_mistake(
    "AG435",
    "rotary-pairs-mixed",
    lambda halves, base: [("of the key, the query is paired in the other way", _turn_query_otherwise(halves, base))],
)
def rotary_pairs_mixed(inputs: Inputs) -> Inputs:
    """pairs the dimensions of the query in another way than those of the key.

    A rotation turns pairs of dimensions: i with i + head_dim / 2, or 2 i with 2 i + 1. Both are in use, and either is
    right when query and key are paired in the same way.

    Bad:
        query, key = rotate_halves(query), rotate_neighbours(key)
    Good:
        query, key = rotate_halves(query), rotate_halves(key)

    Effect: Scores lose what they should know of distances, more with every position.
    Nudge: Which dimension does each of the two rotations turn with the first one?
    Fix: Rotate query and key with the same function.
    """
    return _turn_query_otherwise(halves=True)(inputs)


@rotary_mistake("AG436", "rotary-model-width", lambda halves, base: [("", _turn_width(halves, base))])
def rotary_model_width(inputs: Inputs) -> Inputs:
    """rotates over the width of the model, before the heads are split.

    Each head has all the angles, from the fastest to the slowest. Rotated over the whole width, the first head gets
    only the fast ones and the last only the slow ones.

    Bad:
        query = rotate(query)  # (batch, seq, num_heads * head_dim)
        query = query.view(batch, seq, num_heads, head_dim).transpose(1, 2)
    Good:
        query = query.view(batch, seq, num_heads, head_dim).transpose(1, 2)
        query = rotate(query)  # (batch, num_heads, seq, head_dim)

    Effect: Heads see distances on scales that they were not trained for.
    Nudge: How wide is the tensor that you rotate?
    Fix: Split the heads first, and make the tables head_dim wide.
    """
    return _turn_width(halves=True)(inputs)


@rotary_mistake(
    "AG437",
    "rotary-theta",
    lambda halves, model_base: [
        (f"base {base:g}", turn_both(halves, base=base)) for base in _OTHER_BASES if base != model_base
    ],
)
def rotary_theta(inputs: Inputs) -> Inputs:
    """computes the angles of the rotary positions from another base (theta) than the model's.

    Pair i turns by position * base ** (-2 i / head_dim). The base is part of the trained model: 10000 in the paper and
    in Llama 1 and 2, 500000 in Llama 3. With another base all pairs but the first turn too fast or too slowly.

    Bad:
        inv_freq = 1.0 / 500_000.0 ** (torch.arange(0, head_dim, 2) / head_dim)
    Good:
        inv_freq = 1.0 / theta ** (torch.arange(0, head_dim, 2) / head_dim)

    Effect: Near tokens are found nearly as before, distant ones are not.
    Nudge: From which number do your angles come, and where does the model keep its own?
    Fix: Take theta as an argument of the constructor (theta, rope_theta), which gets the model's value.
    """
    return turn_both(halves=True, base=500_000.0)(inputs)
