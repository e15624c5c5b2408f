"""Heavy imports leave pytest's import hook and the garbage collector as they were."""

from __future__ import annotations

import gc
import sys

import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook

from pytest_attn_grader._utils.imports import fast_imports


def hooks() -> list[object]:
    return [finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook)]


@pytest.mark.parametrize("collecting", [True, False])
def test_both_are_put_back(collecting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hooks()
    assert before, "this test runs under pytest"
    monkeypatch.setattr(gc, "isenabled", lambda: collecting)
    switched_on: list[bool] = []
    monkeypatch.setattr(gc, "enable", lambda: switched_on.append(True))
    monkeypatch.setattr(gc, "disable", lambda: None)
    with fast_imports():
        assert hooks() == []
    assert hooks() == before
    assert switched_on == [True] * collecting


def test_also_after_an_import_that_fails() -> None:
    before = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError), fast_imports():
        import no_such_module_anywhere  # noqa: F401
    assert sys.meta_path == before
    assert gc.isenabled()
