"""The same corpus in a model of distilgpt2's shape and size: 768 wide, 12 heads, random weights, loaded once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoModelForCausalLM

from pytest_attn_grader.attention.tolerances import FACTOR
from pytest_attn_grader.grading.experiments import run_gradient_flow
from pytest_attn_grader.submission.adapt import fit
from tests.support.accepted import Style, both_models, spread_of, student_of, styles
from tests.support.checkpoints import distilgpt2_shaped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tests.support.students import Workshop

pytestmark = pytest.mark.slow

PROMPT = torch.tensor([[464, 3797, 3332, 319, 262, 2603]])
STYLES = styles()
_uses = itertools.count(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = distilgpt2_shaped(tmp_path_factory.mktemp("checkpoint") / "distilgpt2-shape")
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def logits_tolerance(model: PreTrainedModel) -> float:
    return spread_of(model, PROMPT) * FACTOR


@pytest.fixture(autouse=True)
def memory_is_given_back(workshop: Workshop) -> Iterator[None]:
    """A worker keeps what was constructed in it; this one would hold a hundred modules of 10 MB and reach its limit."""
    yield
    if next(_uses) % 20 == 0:
        workshop.close()


# Each style in the first or in the last layer, by turns: which layer it is makes no difference to how it is called.
@pytest.mark.parametrize(
    ("style", "layer_idx"),
    [pytest.param(style, 5 * (index % 2), id=f"{style.name}-{5 * (index % 2)}") for index, style in enumerate(STYLES)],
)
def test_forward_and_backward_through_the_model(
    workshop: Workshop, model: PreTrainedModel, logits_tolerance: float, style: Style, layer_idx: int
) -> None:
    with student_of(style, workshop) as student:
        attention = fit(student, student.contract, seed=1)
        with_reference, with_student = both_models(attention, model, layer_idx)
        with torch.no_grad():
            logits, reference_logits = (each(input_ids=PROMPT).logits for each in (with_student, with_reference))
        assert float((logits - reference_logits).abs().max()) <= logits_tolerance
        flow = run_gradient_flow(with_reference, with_student, PROMPT)
        assert flow.failure is None
        assert flow.relative_error <= 1e-4
