"""The steps that grade: real pytest runs on submissions that lie in the folder of the demonstration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_attn_grader.cli.demo.step_result import StepResult
from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.reports.summary import points

SUBMISSIONS = Path(__file__).parent / "submissions"
# What each must be named, by the slug of its diagnosis; a right one has none.
EXPECTED = {
    "reference": None,
    "no_scale": "no-scale",
    "softmax_over_queries": "softmax-query-axis",
    "no_mask": "no-causal-mask",
}
NARROW = "width_64"
INCOMPATIBLE = "incompatible"
PICTURES = ("head", "heads", "next_tokens", "drift")
# A run that hangs; the tour itself says when all of them took too long.
RUN_SECONDS = 240
PARALLEL_RUNS = 2


@dataclass(frozen=True)
class Graded:
    """One run: how it ended, its report, and the files that it should have left and did not."""

    name: str
    exit_code: int
    report: dict[str, Any]
    missing: tuple[str, ...]

    @property
    def in_words(self) -> str:
        score, diagnosis = self.report["score"], self.report["diagnosis"]
        named = f": {diagnosis['titles'][0]}" if diagnosis and diagnosis["titles"] else ""
        lost = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        earned = f"{points(score['earned'])} of {points(score['possible'])} points"
        return f"{self.name}: {self.report['verdict']}, {earned}{named}{lost}"


class GradedSteps:
    """Every submission of the tour, graded side by side from the moment the first is asked for."""

    def __init__(self, out: Path, model: str) -> None:
        self._out, self._model = out, model

    @cached_property
    def _runs(self) -> dict[str, Future[Graded]]:
        pool = ThreadPoolExecutor(PARALLEL_RUNS)
        runs = {name: pool.submit(grade, self._out, name, self._model) for name in (NARROW, INCOMPATIBLE, *EXPECTED)}
        pool.shutdown(wait=False)
        return runs

    def adapts_a_narrow_one(self) -> StepResult:
        """Grade a module that is narrower than the model, and say what was done so that it fits."""
        run = self._runs[NARROW].result()
        adapted = {each["name"]: each["why"] for each in run.report["student"]["adaptations"]}
        good = (run.exit_code, run.report["verdict"]) == (0, "passed") and "dimension-adapter" in adapted
        return StepResult(good, (run.in_words, *(f"{name}: {why}" for name, why in adapted.items())))

    def refuses_an_incompatible_one(self) -> StepResult:
        """Grade something that is no attention function, and say what it is told."""
        run = self._runs[INCOMPATIBLE].result()
        first = next((check for check in run.report["checks"] if check["outcome"] == "failed"), None)
        if first is None:
            return StepResult(False, (run.in_words,))
        good = run.exit_code == 1 and bool(first["actual"] and first["hint"])
        return StepResult(good, (run.in_words, f"actual: {first['actual']}", f"hint: {first['hint']}"))

    def explains_and_draws(self) -> StepResult:
        """Grade the right one and three wrong ones, with report, page and pictures."""
        runs = [self._runs[name].result() for name in EXPECTED]
        where = "look at " + ", ".join(f"{run.name}/page.html" for run in runs)
        return StepResult(all(_as_expected(run) for run in runs), (*(run.in_words for run in runs), where))


def _as_expected(run: Graded) -> bool:
    slug, diagnosis = EXPECTED[run.name], run.report["diagnosis"]
    if slug is None:
        return (run.exit_code, run.report["verdict"], run.missing) == (0, "passed", ())
    named = diagnosis is not None and slug in (*diagnosis["slugs"], *diagnosis["look_alikes"])
    return (run.exit_code, run.report["verdict"], run.missing) == (1, "failed", ()) and named


def grade(out: Path, name: str, model: str) -> Graded:
    """Run pytest on one submission in a folder of its own, `out`/`name`.

    Raises:
        UngradableError: pytest came to no report.
    """
    folder = out / name
    folder.mkdir(exist_ok=True)
    # What an earlier tour has left must not stand for what this one did not write.
    for leftover in ("report.json", *_wanted(drawn=True)):
        (folder / leftover).unlink(missing_ok=True)
    shutil.copy(SUBMISSIONS / f"{name}.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--attn-student={name}.py"]
    command += [f"--attn-model={model}", "--attn-report=report.json", "--attn-html=page.html", "--attn-plots=plots"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ATTN_", "PYTEST_"))}
    try:
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UngradableError(f"grading {name} took more than {RUN_SECONDS} s") from error
    (folder / "terminal.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
    if not (folder / "report.json").is_file():
        raise UngradableError(f"pytest left no report for {name}; it said: {(run.stdout + run.stderr)[-2000:]}")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))["attn_grader"]
    wanted = _wanted(drawn=report["comparison"] is not None)
    missing = [file for file in wanted if not (folder / file).is_file()]
    missing += [part for part in ("evaluation",) if not report.get(part)]
    return Graded(name, run.returncode, report, tuple(missing))


def _wanted(*, drawn: bool) -> list[str]:
    """The files that a run leaves beside its report; without an answer there is nothing to draw."""
    pictures = [f"plots/{picture}.{kind}" for picture in PICTURES for kind in ("png", "svg")]
    return ["page.html", *(pictures if drawn else ())]
