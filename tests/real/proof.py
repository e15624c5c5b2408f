"""Everything that is proven of one model in one go: its prediction, equivalence, mistakes, time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.model_utils import patched_model
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.models.prompt import tokenize_prompt
from pytest_attn_grader.settings.options import PROMPT_EXAMPLE
from tests.real.losses import ALL, LayerLosses, measure_loss, measure_losses, render_losses
from tests.real.runs import GradedRun, run_graded
from tests.real.submissions import MISTAKES, REFERENCE, RIGHT

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

SHOWN_TOKENS = 5


def predict(loaded: LoadedModel) -> list[tuple[str, float]]:
    """The most probable tokens after the prompt, with their probabilities."""
    input_ids = tokenize_prompt(PROMPT_EXAMPLE, loaded).input_ids
    with torch.inference_mode():
        best = loaded.model(input_ids).logits[0, -1].double().softmax(-1).topk(SHOWN_TOKENS)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(loaded.tokenizer.decode([token_id]), probability) for token_id, probability in pairs]


def measure_equivalence(loaded: LoadedModel) -> float:
    """Largest difference of a logit when the reference attends in every layer, relative to the largest logit."""
    layers = range(int(loaded.model.config.num_hidden_layers))
    reference = patched_model(loaded.model, dict.fromkeys(layers, reference_attention))
    input_ids = tokenize_prompt(PROMPT_EXAMPLE, loaded).input_ids
    with torch.inference_mode():
        own, other = loaded.model(input_ids).logits, reference(input_ids).logits
    return float((own - other).abs().max() / own.abs().max())


def prove(
    name: str,
    *,
    layers: Sequence[int | str] | None = None,
    mistakes: int | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """Measure and print; return whether everything is as it must be.

    Args:
        layers: the layers in which the loss is measured; by default each one, and all together.
        mistakes: how many wrong submissions are graded in whole runs; by default each one.
    """
    loaded = load_model(name, device="cpu", progress=True)
    num_layers = int(loaded.model.config.num_hidden_layers)
    say(f"{name}: {loaded.source} {loaded.revision or ''}, sha256 {loaded.sha256}, {num_layers} layers")
    say(f"after {PROMPT_EXAMPLE!r}: " + ", ".join(f"{token!r} {share:.1%}" for token, share in predict(loaded)))
    difference = measure_equivalence(loaded)
    say(f"the reference in every layer changes a logit by at most {difference:.1e} of the largest")
    say(f"loss on held-out text: {measure_loss(loaded):.3f} nats a token")
    measured: list[LayerLosses] = []
    for each in measure_losses(loaded, [mistake.slug for mistake in MISTAKES], layers):
        changes = ", ".join(f"{slug} {change:+.4f}" for slug, change in each.changes.items())
        say(f"layer {each.layer}: uniform attention {each.effect:.4f}, limit {each.limit:.4f}; {changes}")
        measured.append(each)
    say("\n" + render_losses(measured) + "\n")
    return _grade(name, num_layers, mistakes, say) and difference < 1e-4


def _grade(name: str, num_layers: int, mistakes: int | None, say: Callable[[str], None]) -> bool:
    say("| submission | layers | verdict | named | seconds | processor seconds | memory, MiB | report, KB |")
    say("|---|---|---|---|---:|---:|---:|---:|")
    good = True
    for layer in (0, num_layers // 2, ALL):
        run = run_graded(RIGHT[REFERENCE], name, layer)
        say(_row(REFERENCE, layer, run))
        good &= not run.failed()
    for mistake in MISTAKES[:mistakes]:
        run = run_graded(mistake.source, name, num_layers // 2)
        say(_row(mistake.slug, num_layers // 2, run))
        good &= bool(run.failed()) and run.named == mistake.slug
    return good


def _row(submission: str, layer: int | str, run: GradedRun) -> str:
    verdict = "failed" if run.failed() else "passed"
    seconds = f"{run.wall_seconds:.0f} | {run.cpu_seconds:.0f} | {run.memory_mib:.0f} | {run.report_bytes / 1000:.0f}"
    return f"| {submission} | {layer} | {verdict} | {run.named or '–'} | {seconds} |"  # noqa: RUF001  # an empty cell
