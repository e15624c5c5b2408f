"""Do a student's heads keep the relations between tokens that the reference's heads encode?

Four relations that heads of real transformers are known for (`head_scores` has the formulas and their sources), on the
prompt said twice, and where each token of the prompt looks most.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_attn_grader.attention import head_scores, metrics
from pytest_attn_grader.results.comparison import (
    RELATIONS,
    Coherence,
    HeadMatching,
    Relation,
    RelationScore,
    StrongestRelation,
)

# Half of the text: maps of every layer are kept for a moment, and their size grows with its square.
MAX_PROMPT_TOKENS = 64
# Two keys with weights closer than this are looked at alike: rounding decides which is the larger.
TIE_TOLERANCE = 1e-3
# Heads came back in another order when matching them explains most of a difference that can be seen.
VISIBLE_DISTANCE = 0.02


def repeat_prompt(input_ids: Tensor, context_tokens: int) -> Tensor:
    """The prompt, and the prompt again: every token of the second half has an earlier one to find.

    Args:
        input_ids: ``(1, tokens)``.
        context_tokens: how many the model can read; a longer prompt is cut.
    """
    kept = input_ids[:, : min(MAX_PROMPT_TOKENS, context_tokens // 2)]
    return torch.cat([kept, kept], dim=-1)


def relation_scores(weights: Tensor, input_ids: Tensor) -> dict[Relation, Tensor]:
    """The four scores of each head, ``(num_heads,)``; all NaN where a head's map is not finite.

    Args:
        weights: ``(num_heads, tokens, tokens)``.
        input_ids: ``(tokens,)``.
    """
    finite = weights.isfinite().all(-1).all(-1)
    scores = {relation: torch.full(finite.shape, torch.nan, dtype=torch.float64) for relation in RELATIONS}
    if finite.any():
        maps = weights[finite]
        scores["previous-token"][finite] = head_scores.previous_token_score(maps)
        scores["duplicate-token"][finite] = head_scores.duplicate_token_score(maps, input_ids)
        scores["induction"][finite] = head_scores.induction_score(maps, input_ids)
        scores["first-token"][finite] = head_scores.first_token_score(maps)
    return scores


def compare_relations(
    student: Tensor,
    reference: Tensor,
    input_ids: Tensor,
    *,
    prompt_maps: tuple[Tensor, Tensor],
    tokens: Sequence[str],
    layer_idx: int,
) -> Coherence:
    """Scores of every head, the strongest relations of the graded layer, and a verdict in words.

    Args:
        student, reference: ``(num_layers, num_heads, T, T)``, on the prompt said twice.
        input_ids: ``(T,)``, its tokens.
        prompt_maps: student's and reference's graded layer on the prompt, ``(num_heads, tokens, tokens)``.
        tokens: what each id of the prompt reads as.
        layer_idx: the graded layer.
    """
    scores = tuple(
        RelationScore(layer=layer, head=head, relation=relation, reference=float(yours), student=float(mine))
        for layer, maps in enumerate(zip(student, reference, strict=True))
        for scored in [[relation_scores(weights, input_ids) for weights in maps]]
        for relation in RELATIONS
        for head, (mine, yours) in enumerate(zip(scored[0][relation], scored[1][relation], strict=True))
    )
    strongest = strongest_relations(*prompt_maps, layer_idx)
    encoded = [score for score in scores if score.layer == layer_idx and score.encoded]
    lost = [score for score in encoded if not score.kept]
    return Coherence(
        scores=scores,
        strongest_links=strongest,
        relations_encoded=len(encoded),
        relations_kept=len(encoded) - len(lost),
        verdict=_in_words(encoded, lost, strongest, tokens),
    )


def strongest_relations(student: Tensor, reference: Tensor, layer: int) -> tuple[StrongestRelation, ...]:
    """Where each token looks most, ``(num_heads, tokens, tokens)`` each; the first token can only look at itself.

    The student agrees when the reference's key is, within a rounding, its own strongest.
    """
    mine, yours = student.double().nan_to_num(nan=-1.0), reference.double()
    found = []
    for head in range(len(yours)):
        for query in range(1, yours.shape[1]):
            reference_key = int(yours[head, query].argmax())
            student_key = int(mine[head, query].argmax())
            if mine[head, query, student_key] - mine[head, query, reference_key] <= TIE_TOLERANCE:
                student_key = reference_key
            found.append(
                StrongestRelation(
                    layer=layer,
                    head=head,
                    query=query,
                    reference_key=reference_key,
                    reference_weight=float(yours[head, query, reference_key]),
                    student_key=student_key,
                    student_weight=float(student[head, query, student_key]),
                )
            )
    return tuple(found)


def match_permuted_heads(student: Tensor, reference: Tensor) -> HeadMatching | None:
    """Match the heads of two maps ``(num_heads, tokens, tokens)``; None when the student's rows are no weights."""
    usable = student.isfinite().all() and (student >= 0).all() and (student.sum(-1) > 0).all()
    if not usable:
        return None
    mine = metrics.normalised_rows(student.double())
    heads, distances = head_scores.match_heads(mine, metrics.normalised_rows(reference.double()))
    distance, in_order = float(distances.mean()), float(metrics.total_variation(mine, reference.double()).mean())
    return HeadMatching(
        student_heads=tuple(heads.tolist()),
        distance=distance,
        distance_in_order=in_order,
        permuted=in_order > VISIBLE_DISTANCE and distance < in_order / 2,
    )


def _in_words(
    encoded: Sequence[RelationScore],
    lost: Sequence[RelationScore],
    strongest: Sequence[StrongestRelation],
    tokens: Sequence[str],
) -> str:
    """One or two sentences: the named relations first, then where the tokens look."""
    sentences = []
    if not encoded:
        sentences.append("This layer's heads encode none of the four named relations on this text.")
    elif not lost:
        sentences.append(f"Keeps {_count(len(encoded), 'relation')} that this layer's heads encode.")
    else:
        worst = max(lost, key=lambda score: abs(float(score.student) - float(score.reference)))
        sentences.append(
            f"Loses {len(lost)} of {_count(len(encoded), 'relation')} that this layer's heads encode, most of all "
            f"{worst.relation} in head {worst.head} ({_score(worst.reference)} becomes {_score(worst.student)})."
        )
    moved = [each for each in strongest if each.student_key != each.reference_key]
    if strongest and not moved:
        sentences.append("Every token looks most where it should.")
    elif moved:
        example = max(moved, key=lambda each: float(each.reference_weight))
        query, right, wrong = (tokens[at].strip() for at in (example.query, example.reference_key, example.student_key))
        sentences.append(
            f"{len(moved)} of {_count(len(strongest), 'strongest link')} moved: in head {example.head}, "
            f"{query} -> {right} became {query} -> {wrong}."
        )
    return " ".join(sentences)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _score(value: float | str) -> str:
    return f"{float(value):.2f}"
