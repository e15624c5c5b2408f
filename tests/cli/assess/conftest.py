"""A report with its source beside it, and an endpoint that answers what a test says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.cli.assess.client import KEY_VARIABLE, URL_VARIABLE
from pytest_attn_grader.cli.assess.command import MODEL_VARIABLE
from pytest_attn_grader.reports import json_report
from pytest_attn_grader.reports.schema import ASSESSMENT_SCHEMA_FILE
from pytest_attn_grader.results.report import Evaluation, GradeReport
from tests.reports.formats import samples
from tests.support.llm_server import LlmServer, Reply

SOURCE = "def attention(query, key, value, mask=None):\n    return query\n"


def report_about(source: str = SOURCE, **student: Any) -> GradeReport:
    """A failed report about `mine.py` with this source."""
    report = samples.failed()
    sha256 = hashlib.sha256(b"mine.py\0" + source.encode() + b"\0").hexdigest()
    about = report.student.model_copy(update={"target": "mine.py", "files": ("mine.py",), "sha256": sha256} | student)
    return report.model_copy(update={"student": about})


def evaluation() -> Evaluation:
    made = report_about().evaluation
    assert made is not None
    return made


def answer(**more: Any) -> dict[str, Any]:
    """A model's answer about `report_about`, with the checks' own levels."""
    criteria = {
        criterion.category: {"level": criterion.level, "feedback": f"About {criterion.category}."}
        for criterion in evaluation().criteria
    }
    return {"criteria": criteria, "summary": "Scale it.", "strengths": ["masks"], "next_steps": ["divide"]} | more


@pytest.fixture
def folder(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where one stands: `report.json` and `mine.py`, and nothing set that leads to a real endpoint."""
    for name in (KEY_VARIABLE, URL_VARIABLE, MODEL_VARIABLE, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    write_report(empty_folder / "report.json")
    (empty_folder / "mine.py").write_text(SOURCE)
    return empty_folder


def write_report(path: Path, report: GradeReport | None = None) -> Path:
    json_report.try_write(report or report_about(), path)
    return path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LlmServer]]:
    """`serve(reply, …)`: an endpoint that gives these replies, named by the environment."""
    with ExitStack() as stack:

        def start(*replies: Reply) -> LlmServer:
            server = stack.enter_context(LlmServer(replies))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return server

        yield start


def assess(*arguments: str | Path, model: str | None = "tiny") -> tuple[int, str, str]:
    named = [] if model is None else [f"--llm-model={model}"]
    result = CliRunner().invoke(app, ["assess", *map(str, arguments), *named])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def written(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    schema = json.loads(ASSESSMENT_SCHEMA_FILE.read_text())
    jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker()).validate(document)
    return document
