"""One model on one prompt, and the figures that compare two such observations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from pytest_attn_grader.attention import logit_metrics, metrics
from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.patching.shared_copy import eager_copy, eval_mode, is_eager

TIMED_RUNS = 5
# Of a large model, or on a slow machine, fewer runs must do: what is asked for is a grade, not a benchmark.
MAX_TIMED_SECONDS = 0.1


def run_forward(model: Any, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Attentions, logits and time of one forward pass, on the CPU."""
    eager_model = model if is_eager(model) else eager_copy(model)
    input_ids = input_ids.to(eager_model.device)
    with eval_mode(eager_model):
        outputs = eager_model(input_ids, output_attentions=True)  # warms up as well
        seconds: list[float] = []
        while len(seconds) < TIMED_RUNS and sum(seconds) < MAX_TIMED_SECONDS:
            _finish_queued_work(input_ids.device)
            started = time.perf_counter()
            eager_model(input_ids)
            _finish_queued_work(input_ids.device)
            seconds.append(time.perf_counter() - started)
    if getattr(outputs, "logits", None) is None:
        raise PatchingError(
            f"{type(model).__name__} has no language modelling head, so there are no next tokens to compare; "
            "load it with AutoModelForCausalLM (or AutoModelForMaskedLM)."
        )
    attentions = get_attentions(eager_model, outputs)
    return {
        "attentions": torch.cat(attentions).cpu(),  # (num_layers, num_heads, T, T): the batch of one is dropped
        "logits": outputs.logits[0].cpu(),
        "seconds": torch.tensor(statistics.median(seconds), dtype=torch.float64),
    }


def _finish_queued_work(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def get_attentions(model: nn.Module, outputs: Any) -> tuple[torch.Tensor, ...]:
    """One map a layer ``(batch, num_heads, seq_len, seq_len)``; raises PatchingError when the model gave none."""
    attentions = getattr(outputs, "attentions", None)
    if not attentions or any(entry is None for entry in attentions):
        raise PatchingError(
            f"{type(model).__name__} returned no attention weights although output_attentions=True was asked."
        )
    return tuple(attentions)


METRICS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cosine_similarity": metrics.cosine_similarity,
    "jensen_shannon_divergence": metrics.jensen_shannon_divergence,
    "earth_movers_distance": metrics.earth_movers_distance,
}


def attention_metrics(student: torch.Tensor, reference: torch.Tensor) -> dict[str, torch.Tensor]:
    """Similarity of each layer and head, ``(num_layers, num_heads)``; NaN where the student's map is no attention."""
    heads = student.shape[:2]
    figures = {name: torch.full(heads, torch.nan, dtype=torch.float64) for name in (*METRICS, "student_row_sum_error")}
    finite = student.isfinite().flatten(2).all(-1)
    usable = finite & (student >= 0).flatten(2).all(-1)
    figures["student_row_sum_error"][finite] = metrics.row_sum_error(student[finite])
    if usable.any():
        rows = metrics.normalised_rows(student[usable]), metrics.normalised_rows(reference[usable])
        for name, metric in METRICS.items():
            figures[name][usable] = metric(*rows)
    return figures


def next_token_kl(student_logits: torch.Tensor, reference_logits: torch.Tensor) -> torch.Tensor:
    """Nats between two next-token distributions, 0-d; NaN where the student's logits are not finite."""
    if not student_logits.isfinite().all():
        return torch.tensor(torch.nan, dtype=torch.float64)
    return logit_metrics.kl_divergence(student_logits, reference_logits)
