"""Compare attention-head behaviours (previous-token, duplicate-token, induction, first-token) of student and reference.

The scores (formulas and sources in `head_scores`) are taken on the repeated prompt. The strongest link of each token is
taken on the prompt itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_attn_grader.attention import head_scores, metrics
from pytest_attn_grader.grading.evidence import format_number
from pytest_attn_grader.results.comparison import (
    RELATIONS,
    Coherence,
    HeadMatching,
    Relation,
    RelationScore,
    StrongestRelation,
)

# Half of the repeated prompt: maps of every layer are held at once, and their size grows with its square.
MAX_PROMPT_TOKENS = 64
# Two keys whose weights are closer than this count as equal: rounding decides which is larger.
TIE_TOLERANCE = 1e-3
# Heads are permuted when matching them explains most of a visible difference.
VISIBLE_DISTANCE = 0.02


def repeat_prompt(input_ids: Tensor, context_tokens: int) -> Tensor:
    """Repeat the prompt: every token of the second half has an earlier occurrence.

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
    """Compare the scores of every head and the strongest links of the graded layer.

    Args:
        student, reference: ``(num_layers, num_heads, T, T)``, on the repeated prompt.
        input_ids: ``(T,)``, its tokens.
        prompt_maps: student's and reference's graded layer on the prompt, ``(num_heads, tokens, tokens)``.
        tokens: what each id of the prompt reads as.
        layer_idx: the graded layer.
    """
    scores: list[RelationScore] = []
    for layer, (student_maps, reference_maps) in enumerate(zip(student, reference, strict=True)):
        of_student, of_reference = relation_scores(student_maps, input_ids), relation_scores(reference_maps, input_ids)
        scores += [
            RelationScore(
                layer=layer,
                head=head,
                relation=relation,
                reference=float(of_reference[relation][head]),
                student=float(of_student[relation][head]),
            )
            for relation in RELATIONS
            for head in range(len(reference_maps))
        ]
    strongest = find_strongest_links(*prompt_maps, layer_idx)
    encoded = [score for score in scores if score.layer == layer_idx and score.encoded]
    lost = [score for score in encoded if not score.kept]
    return Coherence(
        scores=tuple(scores),
        strongest_links=strongest,
        relations_encoded=len(encoded),
        relations_kept=len(encoded) - len(lost),
        verdict=_in_words(encoded, lost, strongest, tokens),
    )


def find_strongest_links(student: Tensor, reference: Tensor, layer: int) -> tuple[StrongestRelation, ...]:
    """Find the key with the largest weight for each token; the first token has only itself, a row of NaN has none.

    Args:
        student, reference: ``(num_heads, tokens, tokens)``.

    The student agrees when the reference's key is, within a rounding, its own strongest.
    """
    student_maps, reference_maps = student.double(), reference.double()
    found = []
    for head, rows in enumerate(student_maps):
        for query in range(1, rows.shape[0]):
            if not student[head, query].isfinite().all():
                continue
            reference_key = int(reference_maps[head, query].argmax())
            student_key = int(rows[query].argmax())
            if rows[query, student_key] - rows[query, reference_key] <= TIE_TOLERANCE:
                student_key = reference_key
            found.append(
                StrongestRelation(
                    layer=layer,
                    head=head,
                    query=query,
                    reference_key=reference_key,
                    reference_weight=float(reference_maps[head, query, reference_key]),
                    student_key=student_key,
                    student_weight=float(student[head, query, student_key]),
                )
            )
    return tuple(found)


def match_permuted_heads(student: Tensor, reference: Tensor) -> HeadMatching | None:
    """Match the heads of two maps ``(num_heads, tokens, tokens)``; None when the student's rows are not weights."""
    usable = student.isfinite().all() and (student >= 0).all() and (student.sum(-1) > 0).all()
    if not usable:
        return None
    student_rows = metrics.normalised_rows(student.double())
    heads, distances = head_scores.match_heads(student_rows, metrics.normalised_rows(reference.double()))
    in_order = float(metrics.total_variation(student_rows, reference.double()).mean())
    distance = float(distances.mean())
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
    """Summarise in one or two sentences: the named relations first, then the strongest links."""
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
        places = (example.query, example.reference_key, example.student_key)
        query, right, wrong = (_name_token(tokens, at) for at in places)
        sentences.append(
            f"{len(moved)} of {_count(len(strongest), 'strongest link')} moved: in head {example.head}, "
            f"{query} -> {right} became {query} -> {wrong}."
        )
    return " ".join(sentences)


def _name_token(tokens: Sequence[str], at: int) -> str:
    """Return a token's text, with its place in the prompt where another token reads the same."""
    texts = [token.strip() or repr(token) for token in tokens]
    return texts[at] if texts.count(texts[at]) == 1 else f"{texts[at]} (token {at})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _score(value: float | str) -> str:
    return format_number(float(value), ".2f")
