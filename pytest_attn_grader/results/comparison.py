"""Result models of the comparison: attention maps, relations, predictions, drift and speed of reference and student."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pytest_attn_grader.results.base import FrozenModel, Matrix, Number

# Losses of correct implementations differ by less than this.
ROUNDING_NATS = 1e-4


class HeadComparison(FrozenModel):
    """Metrics of one head of one layer; a signed metric is the student's value minus the reference's.

    Where `row_sum_error` is not 0, the student's rows are not distributions. The other metrics are then those of the
    rows divided by their sums, and "nan" where a row has no positive sum. `reference_distance` and `student_distance`
    are how many tokens back a head looks on average.
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
    student_distance: Number | None = None


class AttentionMap(FrozenModel):
    """Attention weights of one head, reference and student: rows are query tokens, columns are key tokens."""

    layer: int
    head: int
    reference: Matrix
    student: Matrix


class NextToken(FrozenModel):
    """One predicted token and its probability."""

    token: str
    id: int
    probability: Number


class ChangedPrediction(FrozenModel):
    """A position of a held-out text at which the reference predicts the right next token and the student does not.

    `context` is the end of the text up to `position`, and `next_token` is what follows it in the text.
    """

    position: int
    context: str
    next_token: str
    reference: tuple[NextToken, ...]
    student: tuple[NextToken, ...]


class HeldOutComparison(FrozenModel):
    """Metrics on one held-out text, as means over the heads of the graded layer.

    `worst_head` is the head with the largest total variation. `next_token_agreement` is the share of positions at which
    both models predict the same next token. `changed_prediction` is the clearest position at which they do not.
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
    changed_prediction: ChangedPrediction | None = None


class Predictions(FrozenModel):
    """Predictions for the prompt, and the loss in nats per token on the held-out texts.

    A decoder predicts the token after the last one. An encoder (`in_place`) predicts the token at the last position,
    and its loss is that of each token at its own position.

    `layer_effect` is by how much the reference's loss changes when the attention of the graded layers becomes uniform,
    None where the student's loss is the reference's.
    """

    reference: tuple[NextToken, ...]
    student: tuple[NextToken, ...]
    kl_divergence: Number
    top_k_agreement: Number
    reference_loss: Number
    student_loss: Number
    layer_effect: Number | None = None
    in_place: bool = False


class Continuation(FrozenModel):
    """Greedy continuations of the prompt by both models; `failure` says why the student's model produced none."""

    cached: bool
    reference: str
    student: str
    failure: str = ""


Relation = Literal["previous-token", "duplicate-token", "induction", "first-token"]
RELATIONS: tuple[Relation, ...] = Relation.__args__  # type: ignore[attr-defined]
# A head that spends a third of its attention along a relation on average encodes it.
MIN_ENCODED_SCORE = 1 / 3
# A relation is kept when the student's score is this close to the reference's.
MAX_KEPT_DIFFERENCE = 0.05


class RelationScore(FrozenModel):
    """Share of a head's attention that follows one relation between tokens, from 0 to 1 (see `head_scores`)."""

    layer: int
    head: int
    relation: Relation
    reference: Number
    student: Number

    @property
    def encoded(self) -> bool:
        """Whether the reference's head encodes this relation."""
        return float(self.reference) >= MIN_ENCODED_SCORE

    @property
    def kept(self) -> bool:
        """Whether the student's score is close to the reference's; NaN is not."""
        return abs(float(self.student) - float(self.reference)) <= MAX_KEPT_DIFFERENCE


class StrongestRelation(FrozenModel):
    """The key that one query attends to most, in one head of reference and student; all are positions in the prompt."""

    layer: int
    head: int
    query: int
    reference_key: int
    reference_weight: Number
    student_key: int
    student_weight: Number


class Coherence(FrozenModel):
    """Relations between tokens that the reference's heads encode, and how many of them the student's heads keep.

    The scores are measured on the prompt repeated once, so that every token of the second half has an earlier
    occurrence.
    """

    scores: tuple[RelationScore, ...]
    strongest_links: tuple[StrongestRelation, ...]
    relations_encoded: int
    relations_kept: int
    verdict: str


class HeadMatching(FrozenModel):
    """The best one-to-one matching of student heads to reference heads; it finds heads that were put in another order.

    `distance` is the mean total variation, in [0, 1], of the best matching, `distance_in_order` that of the heads as
    they are.
    """

    student_heads: tuple[int, ...]
    distance: Number
    distance_in_order: Number
    permuted: bool


class Comparison(FrozenModel):
    """Reference and student on the prompt, in every layer: a change in one layer reaches all later ones.

    `residual_drift` is the distance of the student's residual stream from the reference's, relative to its norm, before
    each layer and, last, where the output layer reads it. `held_out` has the held-out texts. `left_out` says which
    attention maps the report does not have.
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
    left_out: str = ""

    @property
    def heads_of_layer(self) -> tuple[HeadComparison, ...]:
        """The heads of the graded layer."""
        return tuple(head for head in self.heads if head.layer == self.layer_idx)

    @property
    def worst_head(self) -> int:
        """The head of the graded layer whose map differs most."""
        return most_different(self.heads_of_layer).head

    @property
    def worst_map(self) -> AttentionMap:
        """The map of that head."""
        return next(each for each in self.maps if (each.layer, each.head) == (self.layer_idx, self.worst_head))

    @property
    def clearest_change(self) -> ChangedPrediction | None:
        """The changed prediction of which the reference is most certain; None where the student changes none."""
        found = [text.changed_prediction for text in self.held_out if text.changed_prediction is not None]
        return max(found, key=lambda each: float(each.reference[0].probability), default=None)


def most_different(heads: Sequence[HeadComparison]) -> HeadComparison:
    """Return the head whose map differs most; one without a finite distance comes first."""

    def difference(head: HeadComparison) -> float:
        number = float(head.total_variation)
        return math.inf if math.isnan(number) else number

    return max(heads, key=difference)


class Timing(FrozenModel):
    """Seconds of one pass: median and quartiles (`low`, `high`) of `repeats` measurements."""

    median: Number
    low: Number
    high: Number
    repeats: int


class LengthTiming(FrozenModel):
    """Times of student and reference on a text of one length.

    The student's times exclude `transport`, the round trip to the worker, which is measured with the same bytes and no
    computation.
    """

    tokens: int
    student: Timing
    reference: Timing
    transport: Number

    @property
    def slowdown(self) -> float:
        """The student's median time, divided by the reference's."""
        return float(self.student.median) / float(self.reference.median)


class Speed(FrozenModel):
    """Times of a forward pass at several lengths; `stopped` says why longer texts were not timed."""

    shape: str
    lengths: tuple[LengthTiming, ...] = ()
    stopped: str = ""
