"""`attn-grader assess --dry-run`: what would be sent, without a key, a client or a model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.assess.conftest import answer, assess, report_about, write_report
from tests.support.llm_server import LlmServer, completion

Serve = Callable[..., LlmServer]


def test_a_dry_run_needs_neither_key_nor_extra_nor_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    code, printed, said = assess("report.json", "--dry-run", model=None)
    assert (code, said) == (0, "")
    request = json.loads(printed)
    assert request["model"] is None
    assert "   2|     return query" in request["messages"][1]["content"]
    assert not (folder / "report.assessment.json").exists()


def test_a_dry_run_prints_what_would_be_sent(folder: Path, serve: Serve) -> None:
    server = serve(completion(answer()))
    printed = assess("report.json", "--dry-run")[1]
    assert server.requests == []
    assert assess("report.json")[0] == 0
    drawn = re.compile("[0-9a-f]{32}")
    assert json.loads(drawn.sub("D", printed)) == json.loads(drawn.sub("D", json.dumps(server.requests[0])))


def test_a_dry_run_goes_on_after_a_report_that_is_none(folder: Path) -> None:
    (folder / "broken.json").write_text("{")
    code, printed, said = assess("broken.json", "report.json", "--dry-run")
    assert code == 2
    assert json.loads(printed)["model"] == "tiny"
    assert said.startswith("broken.json is not a report")


def test_nothing_that_is_printed_commands_a_terminal(folder: Path) -> None:
    (folder / "mine.py").write_text("# \x1b[2J\u202e\n::error::x\n")
    write_report(folder / "report.json", report_about("# \x1b[2J\u202e\n::error::x\n"))
    code, printed, _ = assess("report.json", "--dry-run")
    assert code == 0
    assert "error::x" in printed
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert not re.search(r"^\s*::", printed, re.MULTILINE)


def test_the_command_line_stays_light() -> None:
    """`attn-grader --help` imports neither the client nor anything heavy."""
    script = (
        "import sys, typer.testing, pytest_attn_grader.cli.app as cli\n"
        "assert typer.testing.CliRunner().invoke(cli.app, ['assess', '--help']).exit_code == 0\n"
        "print(sorted({'openai', 'httpx2', 'torch', 'transformers'} & set(sys.modules)))"
    )
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
