from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_attn_grader.plugin.collection import CHECKS_NODEID_PREFIX
from pytest_attn_grader.plugin.xdist import (
    SCOPE,
    make_scheduler,
    scope_of,
    send_seed_to_worker,
    settings_with_controller_seed,
)
from pytest_attn_grader.settings.settings import Settings


def test_tests_that_ask_for_a_submission_go_to_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_course.py").write_text("def test_a(attn_student): ...")
    (tmp_path / "test_other.py").write_text("def test_a(): ...")
    assert scope_of(f"{CHECKS_NODEID_PREFIX}test_shape.py::test_shape[basic]", tmp_path) == SCOPE
    assert scope_of("test_course.py::test_a", tmp_path) == SCOPE
    assert scope_of("test_other.py::test_a", tmp_path) == "test_other.py::test_a"
    assert scope_of("gone.py::test_a", tmp_path) == "gone.py::test_a"


def test_a_worker_draws_what_the_controller_drew() -> None:
    workerinput: dict[str, Any] = {}
    send_seed_to_worker(workerinput, Settings(student="a.py", seed=2**62))
    worker: Any = SimpleNamespace(workerinput=workerinput)
    assert settings_with_controller_seed(worker, Settings(student="a.py", seed=1)) == Settings(
        student="a.py", seed=2**62
    )
    alone: Any = SimpleNamespace()
    assert settings_with_controller_seed(alone, Settings(student="a.py", seed=1)).seed == 1


def test_each_worker_gets_everything_when_that_was_asked_for(pytester: pytest.Pytester) -> None:
    assert make_scheduler(pytester.parseconfig("--dist=each", "--tx=popen"), None) is None
