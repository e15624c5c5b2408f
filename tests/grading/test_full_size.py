"""The main job at distilgpt2's size: a whole graded run, from a hub that speaks the real protocol to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import REPO_ROOT, distilgpt2_shaped
from tests.support.hub_server import HubServer, Repo

pytestmark = pytest.mark.slow

NAME = "attn-tests/distilgpt2-shape"
BUDGET_SECONDS = 90


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A hub with a checkpoint of distilgpt2's shape: 6 layers, 12 heads of 64, 768 wide, 50257 tokens."""
    folder = distilgpt2_shaped(tmp_path_factory.mktemp("checkpoint") / "distilgpt2-shape")
    with HubServer({NAME: Repo(folder, "8" * 40)}) as server:
        yield {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(tmp_path_factory.mktemp("cache")),
            "NO_PROXY": "127.0.0.1",
        }


def grade(example: str, hub: dict[str, str], folder: Path) -> tuple[int, dict[str, Any], str]:
    report = folder / "report.json"
    command = [sys.executable, "-m", "pytest", "-q", f"--attn-student=examples.{example}", f"--attn-model={NAME}"]
    command += [f"--attn-report={report}", f"--attn-budget={BUDGET_SECONDS}"]
    run = subprocess.run(
        command, cwd=REPO_ROOT, env=os.environ | hub, capture_output=True, text=True, timeout=280, check=False
    )
    return run.returncode, json.loads(report.read_text())["attn_grader"], run.stdout + run.stderr


def test_reference_passes_within_the_budget(hub: dict[str, str], tmp_path: Path) -> None:
    exit_code, report, output = grade("reference", hub, tmp_path)
    assert (exit_code, report["verdict"]) == (0, "passed"), output
    assert report["score"]["earned"] == report["score"]["possible"] == 100
    model = report["model"]
    assert (model["used"], model["source"], model["revision"]) == (NAME, "hub", "8" * 40)
    assert (model["num_layers"], model["num_heads"], model["head_dim"], model["hidden_size"]) == (6, 12, 64, 768)
    assert len(report["comparison"]["heads"]) == 72
    assert sum(phase["seconds"] for phase in report["timing"]) < BUDGET_SECONDS
    assert 300 < report["peak_memory_bytes"] / 2**20 < 2500


def test_wrong_one_fails_for_its_reason(hub: dict[str, str], tmp_path: Path) -> None:
    exit_code, report, output = grade("student.wrong_scale", hub, tmp_path)
    assert (exit_code, report["verdict"]) == (1, "failed"), output
    failed = [check["id"] for check in report["checks"] if check["outcome"] == "failed"]
    assert failed[0] == "equivalence.basic"
    assert not any(check.startswith(("contract", "shape", "weights", "masking", "purity")) for check in failed)
