"""The tour: one step after the other, printed as it is measured; a step that is not as claimed makes it fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.cli.demo.graded_steps import GradedSteps
from pytest_attn_grader.cli.demo.model_steps import ModelSteps
from pytest_attn_grader.cli.demo.step_result import StepResult

BUDGET_SECONDS = 90.0


@dataclass(frozen=True)
class Step:
    """One claim and how it is put to the test."""

    claim: str
    measure: Callable[[], StepResult]


def run_demo(out: Path, *, model: str, write_line: Callable[[str], None]) -> bool:
    """Lead through every step, write reports, pages and pictures into `out`, and say whether all was as claimed.

    Raises:
        UngradableError: the model cannot be had, or pytest came to no report.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    all_good = True
    for number, step in enumerate(_steps(out, model), start=1):
        write_line(f"{number:>2}  {step.claim}")
        began = time.perf_counter()
        measured = step.measure()
        all_good &= measured.as_claimed
        for line in measured.lines:
            write_line(f"      {line}")
        word = "as claimed" if measured.as_claimed else "NOT AS CLAIMED"
        write_line(f"      -> {word} ({time.perf_counter() - began:.1f} s)")
    spent = time.perf_counter() - started
    in_time = spent < BUDGET_SECONDS
    write_line(f"{'All steps as claimed' if all_good else 'Some steps are not as claimed'}, in {spent:.0f} s.")
    if not in_time:
        write_line(f"That is more than the {BUDGET_SECONDS:g} s it may take.")
    return all_good and in_time


def _steps(out: Path, model: str) -> Iterator[Step]:
    laboratory, gradings = ModelSteps(model), GradedSteps(out, model)
    yield Step("A real transformer loads and continues the prompt", laboratory.infers)
    yield Step("Its attention is a map of weights: every row sums to one, nothing looks ahead", laboratory.has_a_map)
    yield Step("The reference attention in layer 0 changes nothing", laboratory.takes_the_reference)
    yield Step("Three wrong attentions differ measurably, each in its way", laboratory.check_wrong_attentions)
    yield Step("Gradients reach the embeddings through a replaced layer", laboratory.carries_gradients)
    yield Step("The attention decides what the model predicts", laboratory.predicts_otherwise)
    yield Step("Repeated replacement does not eat memory", laboratory.check_memory_growth)
    yield Step("A module 64 wide, narrower than the model, is fitted to it", gradings.adapts_a_narrow_one)
    yield Step("Something that is no attention gets a message that helps", gradings.refuses_an_incompatible_one)
    yield Step("A right and three wrong submissions are graded, explained and drawn", gradings.explains_and_draws)
