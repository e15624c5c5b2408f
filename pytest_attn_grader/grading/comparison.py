"""Compare reference and student in the same model: attention per head, relations, drift, next tokens, loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pytest_attn_grader.attention import logit_metrics, metrics
from pytest_attn_grader.grading.changed_prediction import find_changed_prediction, top_tokens
from pytest_attn_grader.grading.concurrency import run_with_both
from pytest_attn_grader.grading.held_out_text import (
    MAX_HELD_OUT_TEXTS,
    PassageResult,
    evaluate_passage,
    held_out_passages,
    mean_loss,
)
from pytest_attn_grader.grading.layer_effect import measure_layer_effect
from pytest_attn_grader.grading.map_selection import select_maps
from pytest_attn_grader.grading.relations import compare_relations, match_permuted_heads, repeat_prompt
from pytest_attn_grader.models.architectures import is_causal_model, without_cache
from pytest_attn_grader.models.patching.forward_pass import run_forward
from pytest_attn_grader.results.comparison import (
    ROUNDING_NATS,
    Comparison,
    HeadComparison,
    HeldOutComparison,
    Predictions,
    most_different,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.models.prompt import Prompt
    from pytest_attn_grader.models.types import LoadedModel

TOP_K = 10
SHOWN_CHARACTERS = 80
POSITIONS_AT_ONCE = 8
# No other passage is started after this time.
READING_SECONDS = 3.0


def compare_on_prompt(
    loaded: LoadedModel,
    student_model: PreTrainedModel,
    prompt: Prompt,
    *,
    layer_idx: int,
    original: LoadedModel | None = None,
    layers: Sequence[int] = (),
) -> Comparison:
    """Run both models on the prompt and compare them.

    Args:
        loaded: the reference, which may be under the submission's restrictions.
        original: the model as it was loaded, in which the effect of `layers` on the loss is measured where the
            student's loss is another; None leaves that out.
        layers: those that have the student's attention.

    Raises:
        SubmissionError: the student's attention gave no answer inside the model.
    """
    reference_pass = run_forward(loaded.model, prompt.input_ids)
    student_pass = run_forward(student_model, prompt.input_ids)
    reference_maps, student_maps = reference_pass["attentions"], student_pass["attentions"]
    num_layers = reference_maps.shape[0]
    maps, left_out = select_maps(reference_maps, student_maps, layer_idx)
    losses, held_out = _compare_held_out(loaded, student_model, layer_idx)
    effect = None
    if original is not None and not abs(losses.student - losses.reference) <= ROUNDING_NATS:
        known = losses.compared_reference if loaded.model is original.model else None
        effect = measure_layer_effect(original, layers, known)
    twice = repeat_prompt(prompt.input_ids, int(loaded.model.config.max_position_embeddings))
    reference, student = run_with_both("internals", _forward_with_internals, loaded.model, student_model, twice)
    heads = [
        each for layer in range(num_layers) for each in compare_heads(student_maps[layer], reference_maps[layer], layer)
    ]
    return Comparison(
        layer_idx=layer_idx,
        heads=tuple(heads),
        maps=maps,
        row_sum_error=_largest_row_sum_error(heads),
        predictions=_predictions(loaded, student_pass["logits"][-1], reference_pass["logits"][-1], losses, effect),
        reference_seconds=float(reference_pass["seconds"]),
        student_seconds=float(student_pass["seconds"]),
        coherence=compare_relations(
            student.attentions,
            reference.attentions,
            twice[0].cpu(),
            prompt_maps=(student_maps[layer_idx], reference_maps[layer_idx]),
            tokens=prompt.tokens,
            layer_idx=layer_idx,
        ),
        head_matching=match_permuted_heads(student_maps[layer_idx], reference_maps[layer_idx]),
        residual_drift=tuple(
            float((one - other).norm() / other.norm())
            for one, other in zip(student.residual_stream, reference.residual_stream, strict=True)
        ),
        held_out=held_out,
        left_out=left_out,
    )


class _Internals(NamedTuple):
    """Attributes:
    attentions: ``(num_layers, num_heads, tokens, tokens)``, on the CPU.
    residual_stream: ``(tokens, hidden_size)`` before each layer and, last, where the output layer reads it.
    """

    attentions: Tensor
    residual_stream: tuple[Tensor, ...]


@torch.inference_mode()
def _forward_with_internals(model: PreTrainedModel, input_ids: Tensor) -> _Internals:
    outputs = model(input_ids, output_attentions=True, output_hidden_states=True, **without_cache(model))
    return _Internals(torch.cat(outputs.attentions).cpu(), tuple(state[0].double() for state in outputs.hidden_states))


METRICS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": metrics.cosine_similarity,
    "jensen_shannon": metrics.jensen_shannon_divergence,
    "earth_movers": metrics.earth_movers_distance,
    "total_variation": metrics.total_variation,
    "argmax_agreement": metrics.argmax_agreement,
    "entropy_difference": metrics.entropy_difference,
}


def compare_heads(student: Tensor, reference: Tensor, layer: int) -> list[HeadComparison]:
    """Compare every head of a layer, `(num_heads, query_len, key_len)`; NaN where rows are not distributions.

    The reference's rows may not be either: through the adapter of a narrow module, on more tokens than it can hold.
    """
    known = _can_be_normalised(reference)  # (num_heads,)
    usable = _can_be_normalised(student) & known
    others = ("reference_entropy", "reference_distance", "student_distance")
    figures = {name: torch.full(usable.shape, torch.nan, dtype=torch.float64) for name in (*METRICS, *others)}
    # The distances below are between rows divided by their sums, so the sums are reported too.
    sums = student.double().sum(-1)
    figures["row_sum_error"] = (sums - 1).abs().nan_to_num(nan=math.inf, posinf=math.inf).amax(-1)
    if usable.any():
        student_rows = metrics.normalised_rows(student[usable].double())
        reference_rows = metrics.normalised_rows(reference[usable].double())
        for name, metric in METRICS.items():
            figures[name][usable] = metric(student_rows, reference_rows).double()
        figures["student_distance"][usable] = metrics.attention_distance(student_rows)
    if known.any():
        reference_rows = metrics.normalised_rows(reference[known].double())
        figures["reference_entropy"][known] = metrics.entropy(reference_rows)
        figures["reference_distance"][known] = metrics.attention_distance(reference_rows)
    return [
        HeadComparison(layer=layer, head=head, **{name: float(values[head]) for name, values in figures.items()})
        for head in range(len(usable))
    ]


def _can_be_normalised(weights: Tensor) -> Tensor:
    """Whether every row of a head has finite weights, none negative, and something to divide by."""
    rows = weights.isfinite().all(-1) & (weights >= 0).all(-1) & (weights.sum(-1) > 0)
    return rows.all(-1)


def _largest_row_sum_error(heads: Sequence[HeadComparison]) -> float:
    return max(math.inf if head.row_sum_error is None else float(head.row_sum_error) for head in heads)


def _predictions(
    loaded: LoadedModel, student_logits: Tensor, reference_logits: Tensor, losses: _Losses, effect: float | None
) -> Predictions:
    finite = bool(student_logits.isfinite().all())
    return Predictions(
        layer_effect=effect,
        reference=top_tokens(loaded.tokenizer, reference_logits, TOP_K),
        student=top_tokens(loaded.tokenizer, student_logits, TOP_K),
        kl_divergence=float(logit_metrics.kl_divergence(student_logits, reference_logits)) if finite else float("nan"),
        top_k_agreement=float(logit_metrics.top_k_agreement(student_logits, reference_logits, k=TOP_K))
        if finite
        else 0.0,
        reference_loss=losses.reference,
        student_loss=losses.student,
        in_place=not is_causal_model(loaded.model),
    )


class _Losses(NamedTuple):
    """Mean losses of both models on all passages that were read, and of the reference on those compared in detail."""

    reference: float
    student: float
    compared_reference: float


def _compare_held_out(
    loaded: LoadedModel, student_model: PreTrainedModel, layer_idx: int
) -> tuple[_Losses, tuple[HeldOutComparison, ...]]:
    """Run both models on the held-out passages: their losses, and a comparison on the first `MAX_HELD_OUT_TEXTS`.

    One passage after the other: the logits of a large vocabulary are megabytes, and none are kept.
    """
    readings: list[tuple[PassageResult, PassageResult]] = []
    started = time.perf_counter()
    held_out: list[HeldOutComparison] = []
    for number, input_ids in enumerate(held_out_passages(loaded)):
        closely = number < MAX_HELD_OUT_TEXTS
        if not closely and time.perf_counter() - started > READING_SECONDS:
            # A slow submission: the loss is taken on fewer texts, the same ones for both models.
            break
        evaluate = partial(evaluate_passage, closely=closely)
        reference, student = run_with_both(("passage", closely), evaluate, loaded.model, student_model, input_ids)
        if closely:
            held_out.append(_compare_passage(loaded, student, reference, layer_idx))
        readings.append((reference.without_details(), student.without_details()))
    references, students = zip(*readings, strict=True)
    compared = mean_loss(references[:MAX_HELD_OUT_TEXTS])
    return _Losses(mean_loss(references), mean_loss(students), compared), tuple(held_out)


def _compare_passage(
    loaded: LoadedModel, student: PassageResult, reference: PassageResult, layer_idx: int
) -> HeldOutComparison:
    """Compare both models on one text, and their predictions at every position of it."""
    tokenizer, next_tokens = loaded.tokenizer, is_causal_model(loaded.model)
    heads = compare_heads(student.attentions[layer_idx][0].cpu(), reference.attentions[layer_idx][0].cpu(), layer_idx)
    worst = most_different(heads)
    if student.logits is None or reference.logits is None:
        raise ValueError("a passage can only be compared when it was evaluated closely")
    finite = bool(student.logits.isfinite().all())
    same = student.logits.argmax(-1) == reference.logits.argmax(-1)
    return HeldOutComparison(
        text=shorten(tokenizer.decode(reference.input_ids[0]), SHOWN_CHARACTERS, placeholder=" …"),
        tokens=reference.input_ids.shape[-1],
        **{name: sum(float(getattr(head, name)) for head in heads) / len(heads) for name in METRICS},
        row_sum_error=_largest_row_sum_error(heads),
        worst_head=worst.head,
        worst_total_variation=worst.total_variation,
        kl_divergence=_mean_kl(student.logits, reference.logits) if finite else math.nan,
        next_token_agreement=float(same.double().mean()) if finite else 0.0,
        changed_prediction=find_changed_prediction(tokenizer, student.input_ids[0], student.logits, reference.logits)
        if next_tokens
        else None,
    )


def _mean_kl(student_logits: Tensor, reference_logits: Tensor) -> float:
    """Mean over all positions, a few at a time: in float64 they take twice the logits' memory, several times over."""
    parts = zip(
        torch.split(student_logits, POSITIONS_AT_ONCE), torch.split(reference_logits, POSITIONS_AT_ONCE), strict=True
    )
    return float(torch.cat([logit_metrics.kl_divergence(*part) for part in parts]).mean())
