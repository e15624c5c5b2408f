"""Whole graded runs as a student starts them, with their time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkpoints import REPO_ROOT

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class GradedRun:
    """Attributes:
    report: the `attn_grader` object of the report.
    report_bytes: size of the whole JSON document.
    wall_seconds: from the start of the process to its end.
    cpu_seconds: of the process and those it has waited for; other load on the machine does not lengthen it.
    """

    report: dict[str, Any]
    report_bytes: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def memory_mib(self) -> float:
        return float(self.report["peak_memory_bytes"]) / MEBIBYTE

    @property
    def named(self) -> str:
        """The mistakes that were named."""
        return " and ".join((self.report["diagnosis"] or {}).get("slugs", ()))

    def failed(self, *, without: tuple[str, ...] = ("budget",)) -> tuple[str, ...]:
        """The checks that failed, by id, without those of some categories."""
        checks = self.report["checks"]
        return tuple(c["id"] for c in checks if c["outcome"] == "failed" and c["category"] not in without)


def run_graded(
    source: str, model: str, layer: int | str, *, device: str = "cpu", budget: float = 600.0, program: str = "pytest"
) -> GradedRun:
    """Grade a submission in a process and a folder of its own.

    Args:
        budget: seconds; longer than a student's, so that other load on the machine decides nothing.
        program: the module that is run; it takes pytest's arguments.

    Raises:
        RuntimeError: the run wrote no report, or is ungradable.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "submission.py").write_text(source, encoding="utf-8")
        options = (
            f"--attn-model={model}",
            f"--attn-layer={layer}",
            f"--attn-device={device}",
            f"--attn-budget={budget}",
        )
        command = (
            sys.executable,
            "-m",
            program,
            "--attn-student=submission.py",
            *options,
            "--attn-report=report.json",
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                (*command, "-q", "-p", "no:cacheprovider"),
                cwd=folder,
                env={**environment, "PYTHONPATH": str(REPO_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall_seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode(errors="replace")
        report_file = Path(folder) / "report.json"
        if process.returncode not in (0, 1) or not report_file.is_file():
            raise RuntimeError(f"the graded run in {model} ended with {process.returncode}:\n{text[-3000:]}")
        written = report_file.read_bytes()
    report = json.loads(written)["attn_grader"]
    return GradedRun(report, len(written), wall_seconds, used.ru_utime + used.ru_stime)
