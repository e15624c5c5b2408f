"""A model on another device than the CPU gives the same verdicts: no computation mixes the devices."""

from __future__ import annotations

import pytest

from tests.real.runs import run_graded
from tests.real.submissions import REFERENCE, RIGHT, WRONG
from tests.support import second_device

RIGHT_CASES = [
    pytest.param("mini", REFERENCE),
    *(pytest.param("mini", kind, marks=pytest.mark.slow) for kind in ("module", "64-wide module")),
    *(pytest.param("mini-llama", kind, marks=pytest.mark.slow) for kind in ("grouped module", "rotary module")),
]
WRONG_CASES = [
    pytest.param("mask-after-softmax", "mask_after_softmax_star.py"),
    pytest.param("layer-not-called", "layer_not_called_keys.py", marks=pytest.mark.slow),
    pytest.param("stale-cache", "stale_cache_concat.py", marks=pytest.mark.slow),
]

pytestmark = pytest.mark.skipif(not second_device.is_available(), reason="this PyTorch's devices are all C++")


def grade(source: str, model: str) -> tuple[str, list[str]]:
    """The verdict and the names of the mistakes, with the model on the second device."""
    report = run_graded(source, model, 0, device=second_device.NAME, program=second_device.__name__).report
    assert report["model"]["device"] == f"{second_device.NAME}:0"
    return report["verdict"], (report["diagnosis"] or {}).get("slugs", [])


@pytest.mark.parametrize(("model", "kind"), RIGHT_CASES)
def test_a_right_one_passes(model: str, kind: str) -> None:
    assert grade(RIGHT[kind], model) == ("passed", [])


@pytest.mark.parametrize(("slug", "file"), WRONG_CASES)
def test_a_mistake_is_named(slug: str, file: str) -> None:
    source = (WRONG / file).read_text(encoding="utf-8")
    assert grade(source, "mini") == ("failed", [slug])
