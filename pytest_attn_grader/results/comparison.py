"""What a comparison of reference and student found: patterns, relations, predictions, drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pytest_attn_grader.results.base import FrozenModel, Matrix, Number


class HeadComparison(FrozenModel):
    """Reference and student on one head of one layer (student minus reference where signed).

    Where `row_sum_error` is not 0 the student's rows are no distributions, and its figures are those of its rows
    divided by their sums; "nan" where that cannot be done either.
    """

    layer: int
    head: int
    cosine: Number
    jensen_shannon: Number
    earth_movers: Number
    total_variation: Number
    argmax_agreement: Number
    entropy_difference: Number
    row_sum_error: Number | None = None
    reference_entropy: Number | None = None
    reference_distance: Number | None = None
    """How many tokens back the reference's head looks on average; the student's beside it."""
    student_distance: Number | None = None


class AttentionMap(FrozenModel):
    """Both patterns of one head: rows are query tokens, columns key tokens."""

    layer: int
    head: int
    reference: Matrix
    student: Matrix


class HeldOutComparison(FrozenModel):
    """Reference and student on a text other than the prompt: means over the heads of the graded layer.

    `worst_head` is the one with the largest total variation; `next_token_agreement` the share of positions at which
    both models expect the same next token.
    """

    text: str
    tokens: int
    cosine: Number
    jensen_shannon: Number
    earth_movers: Number
    total_variation: Number
    argmax_agreement: Number
    entropy_difference: Number
    row_sum_error: Number
    worst_head: int
    worst_total_variation: Number
    kl_divergence: Number
    next_token_agreement: Number


class NextToken(FrozenModel):
    token: str
    id: int
    probability: Number


class Predictions(FrozenModel):
    """What the model says next, with its own attention and with the student's."""

    reference: tuple[NextToken, ...]
    student: tuple[NextToken, ...]
    kl_divergence: Number
    top_k_agreement: Number
    reference_loss: Number
    student_loss: Number


class Continuation(FrozenModel):
    """What both models say after the prompt, greedily, token by token; why the student's did not (`failure`)."""

    cached: bool
    reference: str
    student: str
    failure: str = ""


Relation = Literal["previous-token", "duplicate-token", "induction", "first-token"]
RELATIONS: tuple[Relation, ...] = Relation.__args__  # type: ignore[attr-defined]


class RelationScore(FrozenModel):
    """How much of a head's attention goes along one relation between tokens, from 0 to 1 (`head_scores`)."""

    layer: int
    head: int
    relation: Relation
    reference: Number
    student: Number


class StrongestRelation(FrozenModel):
    """Where one token of the prompt looks most in one head, as positions in the prompt."""

    layer: int
    head: int
    query: int
    reference_key: int
    reference_weight: Number
    student_key: int
    student_weight: Number


class Coherence(FrozenModel):
    """Does the student keep the relations between tokens that the heads encode?

    Scores are measured on the prompt said twice: only then has every token an earlier occurrence to find again.
    """

    scores: tuple[RelationScore, ...]
    strongest_links: tuple[StrongestRelation, ...]
    relations_encoded: int
    relations_kept: int
    verdict: str


class HeadMatching(FrozenModel):
    """Which student head looks most like which reference head: finds heads that came back in another order.

    `distance` and `distance_in_order` are mean total variations, in [0, 1], of the best matching and as they came.
    """

    student_heads: tuple[int, ...]
    distance: Number
    distance_in_order: Number
    permuted: bool


class Comparison(FrozenModel):
    """Both models on the prompt; `heads` and `maps` cover every layer: a change in one reaches all later ones.

    `residual_drift` is how far the student's residual stream is from the reference's, relative to its length, before
    each layer and, last, where the output layer reads it. `held_out` compares both on texts other than the prompt.
    """

    layer_idx: int
    heads: tuple[HeadComparison, ...]
    maps: tuple[AttentionMap, ...]
    row_sum_error: Number
    predictions: Predictions
    reference_seconds: Number
    student_seconds: Number
    coherence: Coherence | None = None
    head_matching: HeadMatching | None = None
    residual_drift: tuple[Number, ...] = ()
    held_out: tuple[HeldOutComparison, ...] = ()
    continuations: tuple[Continuation, ...] = ()

    @property
    def heads_of_layer(self) -> tuple[HeadComparison, ...]:
        """The heads of the graded layer."""
        return tuple(head for head in self.heads if head.layer == self.layer_idx)

    @property
    def worst_head(self) -> int:
        """The head of the graded layer whose map differs most; one whose rows are no weights comes before any other."""

        return most_different(self.heads_of_layer).head


def most_different(heads: Sequence[HeadComparison]) -> HeadComparison:
    """The head whose map differs most; one whose rows are no weights comes before any other."""

    def difference(head: HeadComparison) -> float:
        number = float(head.total_variation)
        return math.inf if math.isnan(number) else number

    return max(heads, key=difference)


class Timing(FrozenModel):
    """Seconds of one pass: the median of `repeats`, and the quartiles between which half of them lie."""

    median: Number
    low: Number
    high: Number
    repeats: int


class LengthTiming(FrozenModel):
    """Student and reference on texts of one length.

    `transport` is what the way to the worker and back took, measured with as many bytes and nothing computed; it is
    subtracted already. A pass that failed, or would have taken too long, is None.
    """

    tokens: int
    student_forward: Timing
    reference_forward: Timing
    transport_forward: Number
    student_backward: Timing | None = None
    reference_backward: Timing | None = None
    transport_backward: Number | None = None

    @property
    def slowdown(self) -> float:
        """How many times the reference's forward pass the student's takes."""
        return float(self.student_forward.median) / float(self.reference_forward.median)


class Speed(FrozenModel):
    """How long the attention takes, and how that grows with the text.

    `student_growth` and `reference_growth` are the exponents p in seconds ~ tokens ** p of the forward pass, a straight
    line through the logarithms of the longest lengths; `stopped` says why longer texts were not timed.
    """

    shape: str
    lengths: tuple[LengthTiming, ...] = ()
    student_growth: Number | None = None
    reference_growth: Number | None = None
    stopped: str = ""
