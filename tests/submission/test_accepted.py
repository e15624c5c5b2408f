"""Right submissions in the styles that people hand in: each must be graded as it is, and found right."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.attention.probes import INPUT_NAMES, SPEC_BY_NAME, build_probe
from pytest_attn_grader.attention.tolerances import FACTOR
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.submission.adapt import fit
from tests.support.accepted import KINDS, Style, both_models, spread_of, student_of, styles
from tests.support.checks import PASSED, ask_everything, session_over

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop

STYLES = styles()


def test_there_are_enough_of_every_kind_and_no_two_alike() -> None:
    counts = Counter(style.kind for style in STYLES)
    assert all(counts[kind] >= 10 for kind in KINDS), counts
    assert len({style.description for style in STYLES}) == len(STYLES)


@pytest.fixture(scope="module")
def prompt(mini: LoadedModel) -> Tensor:
    return mini.tokenizer("The cat sat on the mat", return_tensors="pt").input_ids


@pytest.fixture(scope="module")
def logits_tolerance(mini: LoadedModel, prompt: Tensor) -> float:
    return spread_of(mini.model, prompt) * FACTOR


@pytest.mark.parametrize(
    "style",
    [
        pytest.param(style, id=style.name, marks=pytest.mark.slow if number % 3 else ())
        for number, style in enumerate(STYLES)
    ],
)
def test_it_is_graded_as_it_is(
    workshop: Workshop, mini: LoadedModel, prompt: Tensor, logits_tolerance: float, style: Style
) -> None:
    with student_of(style, workshop) as student:
        attention = fit(student, student.contract, seed=1)
        own_mask = attention.contract.mask_convention == "none"

        for name in ("basic", "narrow"):
            spec = replace(SPEC_BY_NAME[name], padding="none") if own_mask else SPEC_BY_NAME[name]
            observation = Observation(probe := build_probe(spec, seed=1), attention.run_probe(probe))
            assert observation.student.failure is None, observation.student.failure
            assert observation.changed_inputs == []
            tolerance = observation.tolerance.tolerance
            assert observation.output_error <= tolerance["attn_output"]
            assert observation.weights_error <= tolerance["attn_weights"]
            assert observation.student.gradient_failure is None
            for tensor in INPUT_NAMES:
                difference = observation.gradient(tensor).double() - observation.reference_gradient(tensor)
                assert float(difference.abs().max()) <= tolerance[tensor], tensor

        with_reference, with_student = both_models(attention, mini.model)
        logits, reference_logits = (model(input_ids=prompt).logits.detach() for model in (with_student, with_reference))
        assert float((logits - reference_logits).abs().max()) <= logits_tolerance


# One of each kind; the others take a minute.
EXAMPLES = ("function/padding_mask", "projected/multi_head", "module/prepared_heads", "narrow/width_48")


@pytest.mark.parametrize(
    "style",
    [pytest.param(each, id=each.name, marks=() if each.name in EXAMPLES else pytest.mark.slow) for each in STYLES],
)
def test_it_passes_every_check(workshop: Workshop, mini: LoadedModel, style: Style) -> None:
    with student_of(style, workshop) as student:
        said = ask_everything(session_over(student, mini))
    # How fast it is depends on what else this machine does.
    judged = {check: answer for check, answer in said.items() if not check.startswith("budget")}
    assert {
        check: answer for check, answer in judged.items() if not answer.startswith((PASSED, "not applicable: "))
    } == {}
    assert sum(answer == PASSED for answer in judged.values()) >= 40
