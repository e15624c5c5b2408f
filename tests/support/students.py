"""Submissions written on the spot, all run in one worker: starting one takes seconds, another file milliseconds."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.function_ranks import fit_function
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import Description
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import find_target
from pytest_attn_grader.submission.worker import SERVICE

CALL_SECONDS = 5.0
# A worker keeps the modules of all its submissions, and their caches: after so many it is replaced.
MAX_SUBMISSIONS = 50

REFERENCE = '''
import math

def attention(query, key, value, mask=None):
    """The formula, line by line."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
'''


def change(source: str, *changes: tuple[str, str]) -> str:
    """Return the source with the second text of every pair in place of the first, which must be there."""
    for before, after in changes:
        if before not in source:
            raise ValueError(f"{before!r} is not in the source")
        source = source.replace(before, after)
    return source


class Workshop:
    """A folder of submissions and the one worker that runs them."""

    def __init__(self, folder: Path, *, in_namespaces: bool = False) -> None:
        self.folder = folder
        self.in_namespaces = in_namespaces
        self.current: SharedRemote | None = None
        self._worker: WorkerProcess | None = None
        self._numbers = itertools.count(1)

    def worker(self) -> WorkerProcess:
        """The worker that is up, or another one after a submission has ended it."""
        if self._worker is None or self._worker.ended:
            self._worker = WorkerProcess(
                root=self.folder,
                import_paths=sys.path,
                limits=Limits(call_seconds=CALL_SECONDS),
                service=SERVICE,
                in_namespaces=self.in_namespaces,
            )
        return self._worker

    def student(self, source: str, *, name: str | None = None, suffix: str = ".py") -> Student:
        """Write the submission into a file of its own."""
        number = next(self._numbers)
        if number % MAX_SUBMISSIONS == 0:
            self.close()
        file = self.folder / f"submission{number}{suffix}"
        file.write_text(source, encoding="utf-8")
        typed = str(file) if name is None else f"{file}:{name}"
        student = Student(find_target(typed, self.folder), call_seconds=CALL_SECONDS, tier="auto")
        vars(student)["_remote"] = SharedRemote(self)
        return student

    def attention(self, source: str, *, name: str | None = None, seed: int = 0) -> FunctionAttention:
        """The same, fitted to four dimensions as the grader does it."""
        student = self.student(source, name=name)
        return fit_function(student, student.contract, seed=seed)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()


class SharedRemote(SandboxClient):
    """One submission of several in the same worker; names are resolved in the one described last."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(workshop.worker)
        self._workshop = workshop
        self._described: dict[str, Any] = {}

    def describe(self, **wanted: Any) -> Description:
        self._described = wanted
        self._workshop.current = self
        return super().describe(**wanted)

    def _ready(self) -> WorkerProcess:
        if self._workshop.current is not self and self._described:
            self.describe(**self._described)
        return super()._ready()

    def close(self) -> None:
        """The workshop closes the worker."""
