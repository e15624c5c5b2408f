"""What the tests of several modules share: the embedded model, loaded once, and one worker for all submissions."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.submission.function_attention import FunctionAttention
    from tests.support.runs import Warm
    from tests.support.students import Workshop


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but the first cases of a test that is marked `sampled` as slow, before `-m` selects."""
    seen: Counter[str] = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None:
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > sampled.args[0]:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def mini() -> LoadedModel:
    """The embedded model on the CPU; tests must leave it as it is."""
    from pytest_attn_grader.model_utils import attach_tokenizer
    from pytest_attn_grader.models.load import load_model

    loaded = load_model("mini", device="cpu")
    attach_tokenizer(loaded.model, loaded.tokenizer)
    return loaded


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Makes a `Student` of a source text; all of them run in the same worker."""
    from tests.support.students import Workshop

    made = Workshop(tmp_path_factory.mktemp("submissions"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def student_of(workshop: Workshop) -> Callable[..., FunctionAttention]:
    """`student_of(source, name=None)`: a submission as the attention that the checks see, in a real worker."""
    return workshop.attention


@pytest.fixture(scope="session")
def reference_student(student_of: Callable[..., FunctionAttention]) -> FunctionAttention:
    """A right submission."""
    from tests.support.students import REFERENCE

    return student_of(REFERENCE)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Whole graded runs, each in a process of its own, forked from one that has torch and transformers imported."""
    from tests.support.runs import Warm

    process = Warm(tmp_path_factory.mktemp("runs"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; in CI it must be there."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None and "CI" not in os.environ:
        pytest.skip("needs chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=flags)
        yield started
        started.close()
