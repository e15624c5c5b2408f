"""A model on another device than the CPU gives the same verdicts: no computation mixes the devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.submissions import REFERENCE, RIGHT, WRONG
from tests.support import second_device

REPO_ROOT = Path(__file__).parents[2]
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


def grade(source: str, folder: Path, model: str) -> tuple[str, list[str]]:
    """The verdict and the names of the mistakes, with the model on the second device."""
    (folder / "submission.py").write_text(source, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}
    command = (sys.executable, "-m", "tests.support.second_device", "--attn-student=submission.py", "-q")
    run = subprocess.run(
        (*command, f"--attn-model={model}", "--attn-report=report.json", "-p", "no:cacheprovider"),
        cwd=folder,
        env={**environment, "PYTHONPATH": str(REPO_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout[-3000:] + run.stderr[-3000:]
    report = json.loads((folder / "report.json").read_bytes())["attn_grader"]
    assert report["model"]["device"] == f"{second_device.NAME}:0"
    return report["verdict"], (report["diagnosis"] or {}).get("slugs", [])


@pytest.mark.parametrize(("model", "kind"), RIGHT_CASES)
def test_a_right_one_passes(model: str, kind: str, tmp_path: Path) -> None:
    assert grade(RIGHT[kind], tmp_path, model) == ("passed", [])


@pytest.mark.parametrize(("slug", "file"), WRONG_CASES)
def test_a_mistake_is_named(slug: str, file: str, tmp_path: Path) -> None:
    source = (WRONG / file).read_text(encoding="utf-8")
    assert grade(source, tmp_path, "mini") == ("failed", [slug])
