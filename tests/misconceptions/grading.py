"""Grade one file of the corpus: the real worker, the real checks, the real diagnosis."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.misconceptions import PredictionCache
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import Target, find_target
from pytest_attn_grader.submission.worker import SERVICE
from tests.support.checks import first_failure

CORPUS = Path(__file__).parents[1] / "submissions"
FOLDERS = ("correct", "wrong")
CORRECT = "correct"
CALL_SECONDS = 10.0


@dataclass(frozen=True)
class Graded:
    """What became of one submission.

    Attributes:
        expected: slugs that must be named; empty for a correct submission.
        problem: why it was rejected, in a few words; empty when it was accepted.
    """

    name: str
    expected: tuple[str, ...]
    problem: str
    diagnosis: Diagnosis | None
    diagnosis_seconds: float

    @property
    def accepted(self) -> bool:
        return not self.problem

    @property
    def outcome(self) -> str:
        """accepted, right, wrong or none."""
        if self.diagnosis is None:
            return "accepted" if self.accepted else "none"
        if not self.diagnosis.slugs:
            return "none"
        named = set(self.diagnosis.slugs)
        also = set(self.diagnosis.look_alikes)
        fits = set(self.expected) <= named | also and len(named) == len(self.expected) > 0
        return "right" if fits else "wrong"


def is_as_expected(result: Graded) -> bool:
    """A correct one is accepted without a diagnosis; a wrong one is rejected with the right one."""
    if not result.expected:
        return result.accepted and result.diagnosis is None
    return not result.accepted and result.outcome == "right"


def corpus() -> list[Path]:
    """The functions of the corpus, right and wrong; the folders beside them belong to other tests."""
    return sorted(file for folder in FOLDERS for file in (CORPUS / folder).rglob("*.py"))


def expected_slugs(file: Path) -> tuple[str, ...]:
    """What the first line says; the file is not run for it."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    label, _, slugs = first.partition(":")
    if label != "# expect" or not slugs.strip():
        raise ValueError(f"{file.name}: the first line must be '# expect: SLUG', not {first!r}")
    return () if slugs.strip() == CORRECT else tuple(slugs.split())


class Bench:
    """One worker, one model, one set of predictions, any number of submissions; else as a whole run grades them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._worker: WorkerProcess | None = None
        self._predictions = PredictionCache()
        self._model = load_model("mini", device="cpu")
        attach_tokenizer(self._model.model, self._model.tokenizer)

    def grade(self, file: Path) -> Graded:
        name = file.relative_to(CORPUS).as_posix()
        settings = Settings(
            student=str(file), model="mini", device="cpu", seed=self.seed, timeout_seconds=CALL_SECONDS, hints="explain"
        )
        student = SharedStudent(find_target(settings.student, settings.invocation_dir), self.running_worker)
        session = GradingSession(settings, process=student, loaded=self._model)
        problem = first_failure(session)
        started = time.perf_counter()
        # A whole run diagnoses what fails; here what passes is diagnosed too, and must get none.
        diagnosis = session.diagnose(self._predictions)
        return Graded(name, expected_slugs(file), problem, diagnosis, time.perf_counter() - started)

    def running_worker(self) -> WorkerProcess:
        if self._worker is None or self._worker.ended:
            self._worker = WorkerProcess(
                root=CORPUS, import_paths=sys.path, limits=Limits(call_seconds=CALL_SECONDS), service=SERVICE
            )
        return self._worker

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class SharedStudent(Student):
    """A submission in a worker that others use after it: starting one costs more than grading."""

    def __init__(self, target: Target, worker: Callable[[], WorkerProcess]) -> None:
        super().__init__(target, call_seconds=CALL_SECONDS, tier="auto")
        self._shared = worker
        self._remote = SandboxClient(worker)

    def restart(self, *, run_seconds: float | None = None) -> SharedStudent:
        """The same submission imported again, in the same process, whose limit on a run is the bench's."""
        other = SharedStudent(self.target, self._shared)
        _ = other.description
        return other

    def close(self) -> None:
        """The bench closes the worker."""
