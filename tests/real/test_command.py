"""The commands run on the embedded model and on tiny ones; what they measure of large ones is in the guide."""

from __future__ import annotations

import pytest

from tests.real import gpu
from tests.real.__main__ import main
from tests.real.losses import LayerLosses, render_losses

pytestmark = pytest.mark.timeout(600)


def test_the_limit_is_a_share_of_the_effect_and_never_below_rounding() -> None:
    measured = LayerLosses(2, 0.5, {"no-scale": 0.0004, "k-for-v": -0.3})
    assert measured.limit == pytest.approx(0.0005)
    assert measured.unseen == ("no-scale",)
    assert LayerLosses(2, 0.001, {}).limit == 1e-4


def test_the_table_says_where_a_mistake_is_not_seen() -> None:
    rows = [
        LayerLosses(0, 0.5, {"no-scale": 0.0004}),
        LayerLosses(1, 0.5, {"no-scale": -0.3}),
        LayerLosses("all", 1.0, {"no-scale": 0.2}),
    ]
    assert (
        render_losses(rows).splitlines()[2] == "| no-scale | +0.0004 (layer 0) | -0.300 (layer 1) | +0.200 | layer 0 |"
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mini", "mini-llama"])
def test_an_embedded_model_is_proven(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([model, "--layers", "0", "2", "all", "--mistakes", "1"]) == 0
    said = capsys.readouterr().out
    for words in ("after 'The cat sat on the mat': '.'", "| k-for-v |", "| reference | all | passed |", "| no-scale |"):
        assert words in said
    assert "everything as it must be" in said


@pytest.mark.slow
def test_devices_are_measured_on_small_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "--small"]) == 0
    said = capsys.readouterr().out
    assert said.count("| cpu | passed |") == len(gpu.SMALL_MODELS)


def test_the_time_limit_leaves_runs_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "LIMIT_SECONDS", 0.0)
    monkeypatch.setattr(gpu, "SMALL_MODELS", {"mini": gpu._mini})
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert main(["gpu", "--small"]) == 0
    assert "| mini | cpu | left out: 0 seconds are over |" in capsys.readouterr().out
