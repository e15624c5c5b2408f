"""Grade one hostile submission as a run does, in a new worker, with as many checks as it takes to judge it."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from pytest_attn_grader.checks import test_equivalence as equivalence
from pytest_attn_grader.checks import test_gradients as gradients
from pytest_attn_grader.checks import test_purity as purity
from pytest_attn_grader.checks import test_shape as shape
from pytest_attn_grader.checks import test_similarity as similarity
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import CheckFailed, NotApplicable
from pytest_attn_grader.grading.session import GradingSession
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.submission.student import Student
from tests.support.checks import put
from tests.support.sandboxes import left_in

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

CORPUS = Path(__file__).with_name("corpus")
TIERS = ("process", "bwrap")
CALL_SECONDS = 3.0
REACHES_OUT = {
    "patches_torch",
    "reads_memory",
    "closes_everything",
    "kills_its_parent",
    "import_leaves_a_daemon",
    "leaves_the_socket_to_a_daemon",
    "forks_once_too_often",
    "stops_itself",
    "patches_the_worker",
}
# In the order of a run; enough to tell every lie of the corpus. Parameters are those of the checks themselves.
CHECKS: tuple[tuple[Callable[..., None], dict[str, Any]], ...] = (
    (shape.test_shape, {"probe": "basic"}),
    (equivalence.test_equivalence, {}),
    (equivalence.test_other_probes, {"probe": "single"}),
    (equivalence.test_other_probes, {"probe": "long"}),
    (equivalence.test_other_probes, {"probe": "large-scores"}),
    (gradients.test_flow, {"tensor": "query"}),
    (gradients.test_equal, {"tensor": "query"}),
    (gradients.test_equal, {"tensor": "value"}),
    (purity.test_inputs_unchanged, {}),
    (purity.test_repeatable, {}),
    (similarity.test_similarity, {"metric": "cosine", "larger_is_better": True, "meaning": ""}),
)


@dataclass(frozen=True)
class Hostile:
    """One submission and what must become of it.

    Attributes:
        expected: the verdicts that are right: a failure's name, "wrong" (a check said so in numbers) or "passed".
        tiers: those in which it can be run.
        seconds: of one call; more for attacks that need some time to be one.
    """

    file: Path
    expected: frozenset[str]
    tiers: tuple[str, ...]
    seconds: float

    @classmethod
    def read(cls, file: Path) -> Hostile:
        """Read the header, which is the expectation; nothing is run for it."""
        header = dict(re.findall(r"^# (\w+): (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
        return cls(
            file,
            frozenset(part.strip() for part in header["expect"].split("|")),
            tuple(header.get("tiers", " ".join(TIERS)).split()),
            float(header.get("seconds", CALL_SECONDS)),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of it: the verdict, what was said, the slowest question, and which processes were left."""

    verdict: str
    words: str
    slowest_seconds: float
    left_behind: list[psutil.Process]


def corpus() -> list[Hostile]:
    """All of them, by name."""
    return [Hostile.read(file) for file in sorted(CORPUS.glob("*.py"))]


def sample() -> list[Hostile]:
    """Those that reach for what is around them, and one in four of the others.

    What a submission does to itself is the same in every worker; its surroundings depend on who starts it, and how.
    """
    return [each for number, each in enumerate(corpus()) if each.file.stem in REACHES_OUT or number % 4 == 0]


class Grading:
    """One submission on its way: the worker starts at once, the verdict is asked for later."""

    def __init__(self, hostile: Hostile, tier: str, folder: Path, mini: LoadedModel) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        shutil.copyfile(hostile.file, folder / "student.py")
        self.session = GradingSession(
            Settings(student=str(folder / "student.py"), model="mini", seed=1, sandbox=tier, device="cpu"), loaded=mini
        )
        self.student: Student = self.session.submission.process
        self.student.limits = replace(
            self.student.limits,
            call_seconds=hostile.seconds,
            import_seconds=hostile.seconds,
            memory_bytes=512 << 20,
            processes=20,
            output_bytes=1 << 18,
        )
        self.session.start()

    def outcome(self) -> Outcome:
        """Put the checks to it until one fails, and end it."""
        slowest = 0.0
        verdict, words = "passed", ""
        try:
            for question in self._questions():
                started = time.monotonic()
                try:
                    question()
                except SubmissionError as error:
                    verdict, words = error.name, error.message
                except CheckFailed as failed:
                    verdict, words = ("wrong" if failed.failure is None else failed.failure.name), failed.actual
                finally:
                    slowest = max(slowest, time.monotonic() - started)
                if verdict != "passed":
                    break
        finally:
            self.student.close()
        return Outcome(verdict, words, slowest, left_in(self.folder))

    def _questions(self) -> Iterator[Callable[[], None]]:
        yield self._answers
        for check, parameters in CHECKS:
            yield partial(self._ask, check, parameters)

    def _answers(self) -> None:
        failure = self.session.submission.call_failure
        if failure is not None:
            raise CheckFailed.for_failure("an answer", failure)

    def _ask(self, check: Callable[..., None], parameters: dict[str, Any]) -> None:
        with contextlib.suppress(NotApplicable):
            put(check, self.session, **parameters)
