"""The demo steps that grade: pytest runs on the bundled submissions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_attn_grader._utils.python_command import module_command
from pytest_attn_grader.cli.demo import Measured
from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.reports.summary import points

SUBMISSIONS = Path(__file__).parent / "submissions"
# The slug that the diagnosis of each must name; None for a correct one.
EXPECTED = {
    "reference": None,
    "no_scale": "no-scale",
    "softmax_over_queries": "softmax-query-axis",
    "no_mask": "no-causal-mask",
}
NARROW = "width_64"
INCOMPATIBLE = "incompatible"
PICTURES = ("head", "heads", "next_tokens", "drift")
# For a run that hangs; the demo has a separate limit for all runs together.
RUN_SECONDS = 240
PARALLEL_RUNS = 2


@dataclass(frozen=True)
class DemoRun:
    """A finished run: its exit code, its report, and the expected files that are missing."""

    name: str
    exit_code: int
    report: dict[str, Any]
    missing: tuple[str, ...]

    @property
    def summary(self) -> str:
        score, diagnosis = self.report["score"], self.report["diagnosis"]
        named = f": {diagnosis['titles'][0]}" if diagnosis and diagnosis["titles"] else ""
        lost = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        earned = f"{points(score['earned'])} of {points(score['possible'])} points"
        return f"{self.name}: {self.report['verdict']}, {earned}{named}{lost}"


class GradedSteps:
    """The bundled submissions, graded in parallel when the first result is read."""

    def __init__(self, out: Path, model: str) -> None:
        self._out, self._model = out, model

    @cached_property
    def _runs(self) -> dict[str, Future[DemoRun]]:
        pool = ThreadPoolExecutor(PARALLEL_RUNS)
        runs = {name: pool.submit(grade, self._out, name, self._model) for name in (NARROW, INCOMPATIBLE, *EXPECTED)}
        pool.shutdown(wait=False)
        return runs

    def check_width_adapter(self) -> Measured:
        """Check that a module narrower than the model is adapted and passes."""
        run = self._runs[NARROW].result()
        adapted = {each["name"]: each["why"] for each in run.report["student"]["adaptations"]}
        good = (run.exit_code, run.report["verdict"]) == (0, "passed") and "dimension-adapter" in adapted
        return (good, (run.summary, *(f"{name}: {why}" for name, why in adapted.items())))

    def check_incompatible(self) -> Measured:
        """Check that a submission without attention fails with a message and a hint."""
        run = self._runs[INCOMPATIBLE].result()
        first = next((check for check in run.report["checks"] if check["outcome"] == "failed"), None)
        if first is None:
            return (False, (run.summary,))
        good = run.exit_code == 1 and bool(first["actual"] and first["hint"])
        return (good, (run.summary, f"actual: {first['actual']}", f"hint: {first['hint']}"))

    def check_diagnoses(self) -> Measured:
        """Check verdict, diagnosis and output files of one correct and three wrong submissions."""
        runs = [self._runs[name].result() for name in EXPECTED]
        where = "pages: " + ", ".join(f"{run.name}/page.html" for run in runs)
        return (all(_is_as_expected(run) for run in runs), (*(run.summary for run in runs), where))


def _is_as_expected(run: DemoRun) -> bool:
    slug, diagnosis = EXPECTED[run.name], run.report["diagnosis"]
    if slug is None:
        return (run.exit_code, run.report["verdict"], run.missing) == (0, "passed", ())
    named = diagnosis is not None and slug in (*diagnosis["slugs"], *diagnosis["look_alikes"])
    return (run.exit_code, run.report["verdict"], run.missing) == (1, "failed", ()) and named


def grade(out: Path, name: str, model: str) -> DemoRun:
    """Run pytest on one submission in the folder `out`/`name`."""
    folder = out / name
    folder.mkdir(exist_ok=True)
    # Files of an earlier demo would hide files that this one does not write.
    for leftover in ("report.json", *_expected_files(plotted=True)):
        (folder / leftover).unlink(missing_ok=True)
    shutil.copy(SUBMISSIONS / f"{name}.py", folder)
    command = module_command("pytest", "-q", "-p", "no:cacheprovider", f"--attn-student={name}.py")
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
        raise UngradableError(f"pytest wrote no report for {name}. Its output: {(run.stdout + run.stderr)[-2000:]}")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))["attn_grader"]
    expected = _expected_files(plotted=report["comparison"] is not None)
    missing = [file for file in expected if not (folder / file).is_file()]
    missing += [part for part in ("evaluation",) if not report.get(part)]
    return DemoRun(name, run.returncode, report, tuple(missing))


def _expected_files(*, plotted: bool) -> list[str]:
    """The files that a run writes beside its report; pictures only where there is a comparison."""
    pictures = [f"plots/{picture}.{kind}" for picture in PICTURES for kind in ("png", "svg")]
    return ["page.html", *(pictures if plotted else ())]
