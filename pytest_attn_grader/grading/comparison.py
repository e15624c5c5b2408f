"""Reference and student in the same model: patterns, metrics by head, relations, drift, next tokens, loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from pytest_attn_grader._utils.fork_cache import once
from pytest_attn_grader.attention import metrics
from pytest_attn_grader.attention.probes import max_abs
from pytest_attn_grader.grading.changed_prediction import find_changed_prediction, top_tokens
from pytest_attn_grader.grading.concurrency import run_concurrently
from pytest_attn_grader.grading.experiments import next_token_loss
from pytest_attn_grader.grading.held_out_text import held_out_passages
from pytest_attn_grader.grading.map_selection import select_maps
from pytest_attn_grader.grading.relations import compare_relations, match_permuted_heads, repeat_prompt
from pytest_attn_grader.model_utils import run_inference_comparison
from pytest_attn_grader.results.comparison import (
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
# Texts beside the prompt, of which only figures are kept.
FURTHER_TEXTS = 3
SHOWN_CHARACTERS = 80
POSITIONS_AT_ONCE = 8
# No further passage is started after this.
READING_SECONDS = 3.0


def compare_on_prompt(
    loaded: LoadedModel, student_model: PreTrainedModel, prompt: Prompt, *, layer_idx: int
) -> Comparison:
    """Run both models on the prompt and say how alike they are.

    Raises:
        SubmissionError: the student's attention gave no answer inside the model.
    """
    figures = run_inference_comparison(loaded.model, student_model, prompt.text)
    reference_maps, student_maps = figures["reference_attentions"], figures["student_attentions"]
    num_layers = reference_maps.shape[0]
    maps, left_out = select_maps(reference_maps, student_maps, layer_idx)
    losses, held_out = _compare_held_out(loaded, student_model, layer_idx)
    twice = repeat_prompt(prompt.input_ids, int(loaded.model.config.max_position_embeddings))
    reference, student = run_concurrently(
        loaded.model,
        lambda: once(
            lambda: ("inside", tuple(twice[0].tolist())),
            lambda: _forward_with_internals(loaded.model, twice),
            owner=loaded.model,
        ),
        partial(_forward_with_internals, student_model, twice),
    )
    return Comparison(
        layer_idx=layer_idx,
        heads=tuple(
            comparison
            for layer in range(num_layers)
            for comparison in compare_heads(student_maps[layer], reference_maps[layer], layer)
        ),
        maps=maps,
        row_sum_error=max_abs(figures["student_row_sum_error"]),
        predictions=_predictions(loaded, figures, reference_loss=losses.reference, student_loss=losses.student),
        reference_seconds=float(figures["reference_seconds"]),
        student_seconds=float(figures["student_seconds"]),
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
            float((mine - yours).norm() / yours.norm())
            for mine, yours in zip(student.residual_stream, reference.residual_stream, strict=True)
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
    outputs = model(input_ids, output_attentions=True, output_hidden_states=True, use_cache=False)
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
    """Every head of a layer, `(num_heads, query_len, key_len)`; NaN where rows are no distribution.

    The reference's own rows may be none: through the adapter of a narrow module, on more tokens than it holds exactly.
    """
    known = _can_be_normalised(reference)  # (num_heads,)
    usable = _can_be_normalised(student) & known
    others = ("reference_entropy", "reference_distance", "student_distance")
    figures = {name: torch.full(usable.shape, torch.nan, dtype=torch.float64) for name in (*METRICS, *others)}
    # Said first: the distances that follow are between rows that sum to one, whether or not these did.
    sums = student.double().sum(-1)
    figures["row_sum_error"] = (sums - 1).abs().nan_to_num(nan=math.inf, posinf=math.inf).amax(-1)
    if usable.any():
        mine = metrics.normalised_rows(student[usable].double())
        yours = metrics.normalised_rows(reference[usable].double())
        for name, metric in METRICS.items():
            figures[name][usable] = metric(mine, yours).double()
        figures["student_distance"][usable] = metrics.attention_distance(mine)
    if known.any():
        yours = metrics.normalised_rows(reference[known].double())
        figures["reference_entropy"][known] = metrics.entropy(yours)
        figures["reference_distance"][known] = metrics.attention_distance(yours)
    return [
        HeadComparison(layer=layer, head=head, **{name: float(values[head]) for name, values in figures.items()})
        for head in range(len(usable))
    ]


def _can_be_normalised(weights: Tensor) -> Tensor:
    """Whether every row of a head has finite weights, none negative, and something to divide by."""
    rows = weights.isfinite().all(-1) & (weights >= 0).all(-1) & (weights.sum(-1) > 0)
    return rows.all(-1)


def _predictions(
    loaded: LoadedModel, figures: dict[str, Tensor], *, reference_loss: float, student_loss: float
) -> Predictions:
    reference_logits, student_logits = figures["reference_logits"][-1], figures["student_logits"][-1]
    finite = bool(student_logits.isfinite().all())
    return Predictions(
        reference=top_tokens(loaded.tokenizer, reference_logits, TOP_K),
        student=top_tokens(loaded.tokenizer, student_logits, TOP_K),
        kl_divergence=float(metrics.kl_divergence(student_logits, reference_logits)) if finite else float("nan"),
        top_k_agreement=float(metrics.top_k_agreement(student_logits, reference_logits, k=TOP_K)) if finite else 0.0,
        reference_loss=reference_loss,
        student_loss=student_loss,
    )


class _Losses(NamedTuple):
    reference: float
    student: float


def _compare_held_out(
    loaded: LoadedModel, student_model: PreTrainedModel, layer_idx: int
) -> tuple[_Losses, tuple[HeldOutComparison, ...]]:
    """Let both models read the held-back passages: their losses, and figures of the first `FURTHER_TEXTS`.

    One passage after the other: the logits of a large vocabulary are megabytes, and none are kept.
    """
    readings: list[tuple[PassageResult, PassageResult]] = []
    started = time.perf_counter()
    held_out: list[HeldOutComparison] = []
    for number, input_ids in enumerate(held_out_passages(loaded)):
        closely = number < FURTHER_TEXTS
        if not closely and time.perf_counter() - started > READING_SECONDS:
            # A slow submission: the loss on fewer texts, the same ones for both, is as good.
            break
        yours, mine = run_concurrently(
            loaded.model,
            partial(_read_once, loaded.model, input_ids, closely=closely),
            partial(read, student_model, input_ids, closely=closely),
        )
        if closely:
            held_out.append(_compare_reading(loaded.tokenizer, mine, yours, layer_idx))
        readings.append((yours.without_details(), mine.without_details()))
    reference, student = (mean_loss(side) for side in zip(*readings, strict=True))
    return _Losses(reference, student), tuple(held_out)


def _read_once(model: PreTrainedModel, input_ids: Tensor, *, closely: bool) -> PassageResult:
    return once(
        lambda: ("read", closely, tuple(input_ids[0].tolist())),
        lambda: read(model, input_ids, closely=closely),
        owner=model,
    )


class PassageResult(NamedTuple):
    """One model on one passage.

    Attributes:
        input_ids: ``(1, tokens)``.
        loss: mean next-token loss in nats.
        attentions: of each layer, ``(1, num_heads, tokens, tokens)``; of a close reading only, else empty.
        logits: ``(tokens, vocab_size)``, likewise.
    """

    input_ids: Tensor
    loss: float
    attentions: tuple[Tensor, ...] = ()
    logits: Tensor | None = None

    def without_details(self) -> PassageResult:
        return PassageResult(self.input_ids, self.loss)


@torch.inference_mode()
def read(model: PreTrainedModel, input_ids: Tensor, *, closely: bool = False) -> PassageResult:
    """Let a model read a passage, `(1, tokens)`; what is large is kept of a close reading only."""
    outputs = model(input_ids, use_cache=False, output_attentions=closely)
    reading = PassageResult(input_ids, float(next_token_loss(outputs.logits, input_ids)))
    return reading._replace(attentions=outputs.attentions, logits=outputs.logits[0].cpu()) if closely else reading


def mean_loss(readings: Sequence[PassageResult]) -> float:
    """Mean next-token loss in nats over all tokens of several passages."""
    predicted = [reading.input_ids.shape[-1] - 1 for reading in readings]
    return sum(reading.loss * count for reading, count in zip(readings, predicted, strict=True)) / sum(predicted)


def _compare_reading(
    tokenizer: Any, student: PassageResult, reference: PassageResult, layer_idx: int
) -> HeldOutComparison:
    """Figures of one text; the next tokens are compared at every position of it."""
    heads = compare_heads(student.attentions[layer_idx][0].cpu(), reference.attentions[layer_idx][0].cpu(), layer_idx)
    worst = most_different(heads)
    if student.logits is None or reference.logits is None:
        raise ValueError("only close readings are compared")
    finite = bool(student.logits.isfinite().all())
    same = student.logits.argmax(-1) == reference.logits.argmax(-1)
    return HeldOutComparison(
        text=shorten(tokenizer.decode(reference.input_ids[0]), SHOWN_CHARACTERS, placeholder=" …"),
        tokens=reference.input_ids.shape[-1],
        **{name: sum(float(getattr(head, name)) for head in heads) / len(heads) for name in METRICS},
        row_sum_error=max(math.inf if head.row_sum_error is None else float(head.row_sum_error) for head in heads),
        worst_head=worst.head,
        worst_total_variation=worst.total_variation,
        kl_divergence=_mean_kl(student.logits, reference.logits) if finite else math.nan,
        next_token_agreement=float(same.double().mean()) if finite else 0.0,
        changed_prediction=find_changed_prediction(tokenizer, student.input_ids[0], student.logits, reference.logits),
    )


def _mean_kl(student_logits: Tensor, reference_logits: Tensor) -> float:
    """Mean over all positions, a few at a time: in float64 they take twice the logits' memory, several times over."""
    parts = zip(
        torch.split(student_logits, POSITIONS_AT_ONCE), torch.split(reference_logits, POSITIONS_AT_ONCE), strict=True
    )
    return float(torch.cat([metrics.kl_divergence(*part) for part in parts]).mean())
