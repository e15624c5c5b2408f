"""A class graded on a Dask cluster: a real one of two processes, of which one is killed half-way."""

from __future__ import annotations

import builtins
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.cli.grade.dask import dask_executor
from pytest_attn_grader.cli.grade.discovery import find_submissions
from pytest_attn_grader.cli.grade.grade import ClassSettings, grade_class
from pytest_attn_grader.cli.grade.runners import Outcome
from pytest_attn_grader.errors import UsageError
from tests.support.students import REFERENCE

# Dask's own event loops end after it says that they have.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]
SOURCES = {"good": REFERENCE, "unscaled": REFERENCE.replace("/ math.sqrt(query.size(-1))", ""), "broken": "<<<<<<<\n"}
EXPECTED = {"good": "passed", "unscaled": "failed", "broken": "failed"}
COPIES = 3


def write_class(folder: Path) -> Path:
    for number in range(COPIES):
        for name, source in SOURCES.items():
            place = folder / f"{name}{number}"
            place.mkdir(parents=True)
            (place / "attention.py").write_text(source, encoding="utf-8")
    return folder


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    # Its workers are other processes: they import what we do.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]), prepend=os.pathsep)
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # any free port: another test may run a cluster at the same time
        local_directory=str(tmp_path / "dask"),
        silence_logs="CRITICAL",
    ) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    submissions = find_submissions([str(write_class(tmp_path / "class"))], unpack_into=tmp_path)
    settings = ClassSettings(model="mini", device="cpu", seed=5, budget_seconds=90, folder=tmp_path, pages=False)
    killed: list[int] = []

    def kill_one_half_way(outcome: Outcome, graded_now: bool) -> None:
        told.append(outcome.id)
        if len(told) == len(submissions) // 2:
            worker = cluster.workers[0]
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    told: list[str] = []
    out = tmp_path / "out"
    out.mkdir()
    with dask_executor(cluster.scheduler_address, shared=out) as executor:
        outcomes = grade_class(submissions, settings, out, processes=1, executor=executor, on_outcome=kill_one_half_way)
    assert len(killed) == 1
    assert sorted(told) == [submission.id for submission in submissions]
    assert {outcome.id: outcome.verdict for outcome in outcomes} == {
        f"{name}{number}": verdict for name, verdict in EXPECTED.items() for number in range(COPIES)
    }
    assert all((out / "reports" / f"{submission.id}.json").is_file() for submission in submissions)


@pytest.mark.slow
def test_the_command_says_what_is_wrong_with_a_worker(cluster: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="does not see"),
        dask_executor(cluster.scheduler_address, shared=tmp_path / "nowhere"),
    ):
        pass


def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("pytest_attn_grader.cli.grade.dask.CONNECT_SECONDS", 1)
    write_class(tmp_path / "class")
    command = ["grade", str(tmp_path / "class"), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there" in result.output


def test_dask_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return import_(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pytest-attn-grader\[cluster\]"), dask_executor("tcp://x:1", shared=tmp_path):
        pass


def test_a_worker_of_another_version_is_of_no_use(tmp_path: Path) -> None:
    from pytest_attn_grader.cli.grade.dask import _check_workers

    with pytest.raises(UsageError, match=r"worker tcp://a:1 has version 0\.0"):
        _check_workers({"tcp://a:1": ("0.0", True)}, "tcp://s:1", tmp_path)


def test_what_is_lost_on_the_way_is_ungradable_and_costs_nobody_else(tmp_path: Path) -> None:
    from concurrent.futures import Executor, Future

    class Lossy(Executor):
        """Loses every second job, one by cancelling it."""

        submitted = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.submitted += 1
            future: Future[Any] = Future()
            if self.submitted == 1:
                future.set_exception(RuntimeError("KilledWorker"))
            elif self.submitted == 2:
                future.cancel()
                future.set_running_or_notify_cancel()
            else:
                future.set_result(Outcome(args[0].id, "passed"))
            return future

    folder = tmp_path / "class"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.py").write_text(REFERENCE)
    submissions = find_submissions([str(folder)], unpack_into=tmp_path)
    settings = ClassSettings(model="mini", device="cpu", seed=5, budget_seconds=90, folder=tmp_path)
    outcomes = grade_class(submissions, settings, tmp_path / "out", processes=1, executor=Lossy())
    assert [outcome.verdict for outcome in outcomes] == ["ungradable", "ungradable", "passed"]
    assert "the run was lost (RuntimeError: KilledWorker)" in outcomes[0].reason
    assert "cancelled" in outcomes[1].reason
    shutil.rmtree(folder)
