"""The demo steps that patch the model in this process: they run bundled attentions, so no sandbox is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.cli.demo import Measured
from pytest_attn_grader.grading.comparison import compare_on_prompt
from pytest_attn_grader.grading.experiments import run_gradient_flow
from pytest_attn_grader.model_utils import attach_tokenizer, extract_attention_weights, replace_attention_mechanism
from pytest_attn_grader.models.devices import limit_threads, release_memory
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.models.prompt import Prompt, tokenize_prompt
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

WRONG_ATTENTIONS = ("no_scale", "softmax_over_queries", "no_mask")
# Rounding in float32, through all layers.
MAX_ROUNDING_ERROR = 1e-3
MIN_DIFFERENCE = 0.02
REPLACEMENTS = 20
MAX_MEMORY_GROWTH_BYTES = 32 * 2**20


class ModelSteps:
    """A model with the prompt, compared with copies whose layer 0 has another attention."""

    def __init__(self, model: str) -> None:
        self._request = model
        self._compared: dict[str, Comparison] = {}

    @cached_property
    def loaded(self) -> LoadedModel:
        loaded = load_model(self._request)
        limit_threads(loaded.model)
        attach_tokenizer(loaded.model, loaded.tokenizer)
        return loaded

    @cached_property
    def prompt(self) -> Prompt:
        return tokenize_prompt(PROMPT_EXAMPLE, self.loaded)

    def _patch(self, attention: Callable[..., Any]) -> Any:
        return replace_attention_mechanism(self.loaded.model, attention, 0)

    def _compare(self, name: str) -> Comparison:
        if name not in self._compared:
            attention = reference_attention if name == "reference" else _load_attention(name)
            self._compared[name] = compare_on_prompt(self.loaded, self._patch(attention), self.prompt, layer_idx=0)
        return self._compared[name]

    def check_inference(self) -> Measured:
        loaded, config = self.loaded, self.loaded.model.config
        best = self._compare("reference").predictions.reference[0]
        return (
            0 < float(best.probability) <= 1,
            (
                f"{loaded.used}: {config.num_hidden_layers} layers of {config.num_attention_heads} heads, loaded in "
                f"{loaded.load_seconds:.1f} s" + (f" ({loaded.fallback_reason})" if loaded.fallback_reason else ""),
                f"{self.prompt.text!r}, {len(self.prompt.tokens)} tokens, is followed by {best.token!r} "
                f"({float(best.probability):.1%})",
            ),
        )

    def check_attention_weights(self) -> Measured:
        weights = extract_attention_weights(self.loaded.model, self.prompt.input_ids)[0]
        row_error, ahead = float((weights.sum(-1) - 1).abs().max()), float(weights.triu(1).max())
        last = weights[0, -1]
        tokens = [token.strip() for token in self.prompt.tokens]
        return (
            row_error < 1e-5 and ahead == 0,
            (
                f"largest error of a row's sum {row_error:.1e}, largest weight on a later token {ahead:g}",
                f"head 0, {tokens[-1]!r} attends to "
                + ", ".join(f"{token} {weight:.2f}" for token, weight in zip(tokens, last.tolist(), strict=True)),
            ),
        )

    def check_reference(self) -> Measured:
        patched = self._patch(reference_attention)
        ids = self.prompt.input_ids
        maps = extract_attention_weights(patched, ids) - extract_attention_weights(self.loaded.model, ids)
        with torch.inference_mode():
            logits = patched(ids).logits - self.loaded.model(ids).logits
        off_by = float(maps.abs().max()), float(logits.abs().max())
        return (max(off_by) < MAX_ROUNDING_ERROR, (f"weights off by {off_by[0]:.1e}, logits by {off_by[1]:.1e}",))

    def check_wrong_attentions(self) -> Measured:
        lines = [_format_metrics("reference", self._compare("reference"))]
        lines += [_format_metrics(name, self._compare(name)) for name in WRONG_ATTENTIONS]
        worst = {name: _largest_distance(self._compare(name)) for name in ("reference", *WRONG_ATTENTIONS)}
        right = worst.pop("reference")
        return (right < MAX_ROUNDING_ERROR and min(worst.values()) > MIN_DIFFERENCE, tuple(lines))

    def check_gradients(self) -> Measured:
        flow = run_gradient_flow(self.loaded.model, self._patch(reference_attention), self.prompt.input_ids)
        return (
            flow.student_norm > 0 and flow.relative_error < MAX_ROUNDING_ERROR,
            (
                f"norm of the loss's gradient {flow.student_norm:.4g}, without replacement {flow.reference_norm:.4g}, "
                f"relative difference {flow.relative_error:.1e}",
            ),
        )

    def check_predictions(self) -> Measured:
        lines, changes = [], []
        for name in WRONG_ATTENTIONS:
            said = self._compare(name).predictions
            best = said.student[0]
            changes.append(abs(float(said.student_loss) - float(said.reference_loss)))
            lines.append(
                f"{name}: next {best.token!r} ({float(best.probability):.1%}), KL {float(said.kl_divergence):.2g} "
                f"nats, loss on held-out text {float(said.reference_loss):.2f} -> {float(said.student_loss):.2f}"
            )
        return (min(changes) > MIN_DIFFERENCE, tuple(lines))

    def check_memory_growth(self) -> Measured:
        process = psutil.Process()
        self._patch(reference_attention)(self.prompt.input_ids)
        release_memory(self.loaded.device)
        before = process.memory_info().rss
        for _ in range(REPLACEMENTS):
            with torch.inference_mode():
                self._patch(reference_attention)(self.prompt.input_ids)
        release_memory(self.loaded.device)
        after = process.memory_info().rss
        return (
            after - before < MAX_MEMORY_GROWTH_BYTES,
            (f"{before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after {REPLACEMENTS} replacements and runs",),
        )


def _load_attention(name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    attention: Callable[..., tuple[Tensor, Tensor]] = importlib.import_module(
        f"pytest_attn_grader.cli.demo.submissions.{name}"
    ).attention
    return attention


def _largest_distance(compared: Comparison) -> float:
    """The largest total variation of a head; 1 for NaN."""
    distances = [float(head.total_variation) for head in compared.heads_of_layer]
    return max(distance if distance == distance else 1.0 for distance in distances)  # noqa: PLR0124  # NaN


def _format_metrics(name: str, compared: Comparison) -> str:
    head = compared.heads_of_layer[compared.worst_head]
    return (
        f"{name}: cosine {float(head.cosine):.3f}, Jensen-Shannon {abs(float(head.jensen_shannon)):.3f}, "
        f"Earth Mover's {float(head.earth_movers):.2f} tokens, entropy {float(head.entropy_difference):+.2f} nats "
        f"(head {head.head}); rows off by {float(compared.row_sum_error):.2f}"
    )
