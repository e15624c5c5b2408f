"""Run the demo: print each step as it is measured. The demo fails when one of its claims fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_attn_grader.cli.demo import Measured
from pytest_attn_grader.cli.demo.graded_steps import GradedSteps
from pytest_attn_grader.cli.demo.model_steps import ModelSteps

BUDGET_SECONDS = 90.0


def run_demo(out: Path, *, model: str, write_line: Callable[[str], None]) -> bool:
    """Run every step, write reports, pages and pictures into `out`, and return whether every claim holds."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    all_good = True
    for number, (claim, measure) in enumerate(_steps(out, model), start=1):
        write_line(f"{number:>2}  {claim}")
        began = time.perf_counter()
        is_good, lines = measure()
        all_good &= is_good
        for line in lines:
            write_line(f"      {line}")
        word = "ok" if is_good else "FAILED"
        write_line(f"      -> {word} ({time.perf_counter() - began:.1f} s)")
    spent = time.perf_counter() - started
    in_time = spent < BUDGET_SECONDS
    write_line(f"{'All steps passed' if all_good else 'Some steps failed'}, in {spent:.0f} s.")
    if not in_time:
        write_line(f"The limit is {BUDGET_SECONDS:g} s.")
    return all_good and in_time


def _steps(out: Path, model: str) -> Iterator[tuple[str, Callable[[], Measured]]]:
    model_steps, graded_steps = ModelSteps(model), GradedSteps(out, model)
    yield "A real transformer loads and continues the prompt", model_steps.check_inference
    rows = "Every row of its attention sums to one, without weight on later tokens"
    yield rows, model_steps.check_attention_weights
    yield "The reference attention in layer 0 changes nothing", model_steps.check_reference
    yield "Three wrong attentions differ measurably, each in another way", model_steps.check_wrong_attentions
    yield "Gradients reach the embeddings through a replaced layer", model_steps.check_gradients
    yield "The attention decides what the model predicts", model_steps.check_predictions
    yield "Replacing attention repeatedly does not leak memory", model_steps.check_memory_growth
    yield "A 64-dimensional module is adapted to the wider model", graded_steps.check_width_adapter
    yield "An incompatible submission gets a helpful message", graded_steps.check_incompatible
    yield "One correct and three wrong submissions are graded and explained", graded_steps.check_diagnoses
