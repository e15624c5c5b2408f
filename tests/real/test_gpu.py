"""The reference on a GPU equals the CPU's, and nothing stays on the GPU after a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.grading.layer_effect import measure_layer_effect
from pytest_attn_grader.model_utils import attach_tokenizer, patched_model
from pytest_attn_grader.models import load_model, release_memory
from tests.real.runs import run_graded
from tests.real.submissions import MISTAKES, REFERENCE, RIGHT, Mistake

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.fixture
def on_gpu() -> LoadedModel:
    loaded = load_model("mini", device="cuda")
    attach_tokenizer(loaded.model, loaded.tokenizer)
    return loaded


def test_the_reference_in_every_layer_is_the_model(on_gpu: LoadedModel, mini: LoadedModel) -> None:
    input_ids = on_gpu.tokenizer("The cat sat on the mat", return_tensors="pt")["input_ids"]
    patched = patched_model(on_gpu.model, dict.fromkeys(range(3), reference_attention))
    with torch.inference_mode():
        found = patched(input_ids.to(on_gpu.device)).logits
        torch.testing.assert_close(found, on_gpu.model(input_ids.to(on_gpu.device)).logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.cpu(), mini.model(input_ids).logits, atol=1e-3, rtol=1e-3)


def test_the_effect_of_a_layer_is_the_cpus(on_gpu: LoadedModel, mini: LoadedModel) -> None:
    assert measure_layer_effect(on_gpu, (1,)) == pytest.approx(measure_layer_effect(mini, (1,)), abs=1e-3)


def test_a_report_names_the_gpu_and_its_peak() -> None:
    run = run_graded(RIGHT[REFERENCE], "mini", "all", device="cuda")
    assert run.failed() == ()
    assert run.report["environment"]["gpu"] == torch.cuda.get_device_name()
    assert int(run.report["environment"]["gpu_peak_memory_bytes"]) > 10_000_000


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.slug)
def test_a_mistake_is_named(mistake: Mistake) -> None:
    run = run_graded(mistake.source, "mini", 1, device="cuda")
    assert (run.report["verdict"], run.report["diagnosis"]["slugs"]) == ("failed", [mistake.slug])


def test_repeated_models_leave_nothing_on_the_gpu() -> None:
    held = []
    for _ in range(3):
        loaded = load_model("mini", device="cuda")
        device = loaded.device
        del loaded
        release_memory(device)
        held.append(torch.cuda.memory_allocated(device))
    assert held[-1] == held[0]
