"""What is measured: commands, each with a name, and the folders they need."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.models.mini import FOLDER as MINI
from tests.support.checkpoints import REPO_ROOT, distilgpt2_shaped, small_gpt2

FLOOR_SCRIPT = Path(__file__).with_name("floor.py")
PROMPT = "The cat sat on the mat"
MODELS = ("mini", "distilgpt2-size", "tiny")
# A user's own shell: no settings of ours, caches written as usual, as many threads as torch likes.
_NOT_A_USERS = ("ATTN_", "PYTEST_", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Subject:
    """One command to be measured; every run of it must exit with 0."""

    name: str
    command: tuple[str, ...]
    folder: Path = REPO_ROOT


def environment() -> dict[str, str]:
    """What every subject runs with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_A_USERS)}
    # `python -m pytest` finds the checkout by itself in its root, and must find the same one elsewhere.
    return {**kept, "PYTHONPATH": str(REPO_ROOT), "HF_HUB_OFFLINE": "1"}


def model_folder(model: str, workspace: Path) -> Path:
    """Where a model lies; the one of distilgpt2's size is written once, with random weights."""
    if model == "mini":
        return MINI
    folder = workspace / model
    if not (folder / "config.json").is_file():
        {"distilgpt2-size": distilgpt2_shaped, "tiny": small_gpt2}[model](folder)
    return folder


def floor(model: str, workspace: Path, prompt: str = PROMPT) -> Subject:
    """The script on this model."""
    folder = str(model_folder(model, workspace))
    return Subject(f"script, {model}", (sys.executable, str(FLOOR_SCRIPT), folder, prompt))


def graded(model: str, workspace: Path, *options: str, name: str = "") -> Subject:
    """A whole graded run on this model."""
    request = model if model == "mini" else str(model_folder(model, workspace))
    command = (sys.executable, "-m", "pytest", "-q", "--attn-student=examples.reference", f"--attn-model={request}")
    return Subject(name or f"graded run, {model}", (*command, *options))


def empty(workspace: Path, *options: str, name: str) -> Subject:
    """A pytest run of one test that does nothing, in a folder of its own."""
    folder = workspace / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    return Subject(name, (sys.executable, "-m", "pytest", "-q", *options), folder)
