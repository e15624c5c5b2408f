"""The student's repository, and its workflow as GitHub runs it: every step's script by bash, with GitHub's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.init.repository import write_repository
from pytest_attn_grader.errors import UsageError
from tests.support.runs import clean_environment

WORKFLOW = ".github/workflows/grade.yml"
ROOT = Path(__file__).parents[3]


def workflow_of(folder: Path) -> dict[Any, Any]:
    return yaml.safe_load((folder / WORKFLOW).read_text())


def test_what_is_written(tmp_path: Path) -> None:
    written = write_repository(tmp_path / "course")
    assert {path.relative_to(tmp_path / "course").as_posix() for path in written} == {
        "my_attention.py", "README.md", "pytest.ini", "requirements.txt", ".gitignore", WORKFLOW,
    }  # fmt: skip
    assert (tmp_path / "course" / "requirements.txt").read_text() == f"pytest-attn-grader=={__version__}\n"
    assert not any("@@" in path.read_text() for path in written)
    starter = (tmp_path / "course" / "my_attention.py").read_text()
    assert starter.count("# TODO") == 3
    # The same work as the README's own example asks for.
    assert (
        starter.partition("import torch")[2]
        == (ROOT / "examples/student/starter.py").read_text().partition("import torch")[2]
    )


@pytest.mark.parametrize("name", ["my_attention.py", WORKFLOW])
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a week's work")
    with pytest.raises(UsageError, match=f"has {name} already; nothing was written"):
        write_repository(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "a week's work"


@pytest.mark.parametrize("grader", ["x; rm -rf /", "$(id)", "a b", "`id`", "-r evil"])
def test_a_requirement_is_no_command(grader: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used as grader"):
        write_repository(tmp_path / "course", grader=grader)
    assert not (tmp_path / "course").exists()


def test_the_workflow_may_read_and_no_more(tmp_path: Path) -> None:
    write_repository(tmp_path)
    workflow = workflow_of(tmp_path)
    triggers = workflow[True]  # YAML takes `on` for a truth value
    assert set(triggers) == {"pull_request", "push"}
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    assert "{{ secrets" not in (tmp_path / WORKFLOW).read_text()
    steps = {step.get("uses", "").partition("@")[0]: step for step in job["steps"]}
    assert steps["actions/checkout"]["with"]["persist-credentials"] is False
    assert steps["actions/cache"]["with"]["path"] == "~/.cache/huggingface"
    assert steps["actions/upload-artifact"]["if"] == "always()"


def test_the_workflow_keeps_to_the_published_schema(tmp_path: Path) -> None:
    write_repository(tmp_path)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr


@dataclass(frozen=True)
class Job:
    """What a job has left behind."""

    codes: dict[str, int]
    log: str
    summary: str
    folder: Path


def run_job(folder: Path, *, python: str = sys.executable) -> Job:
    """Run the scripts of the workflow one after another, as the runner does, until one fails."""
    github = folder.parent / "github"
    github.mkdir()
    environment = {
        **clean_environment(),
        "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_STEP_SUMMARY": str(github / "summary"),
        "GITHUB_OUTPUT": str(github / "output"),
        "CI": "true",
        "ATTN_MODEL": "mini",
        "ATTN_GRADER_PIP": "--no-index",  # all that is required is here already
    }
    (github / "summary").touch()
    codes, log = {}, ""
    (job,) = workflow_of(folder)["jobs"].values()
    for step in job["steps"]:
        if "run" not in step:
            continue
        (github / "script.sh").write_text(step["run"])
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(github / "script.sh")]
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        codes[step["name"]] = ran.returncode
        log += ran.stdout + ran.stderr
        if ran.returncode:
            break
    return Job(codes, log, (github / "summary").read_text(), folder)


HOSTILE = """
def attention(query, key, value, mask=None):
    raise ValueError("\\n::error file=README.md,line=1::pwned\\n::stop-commands::guess")
"""


def commands(log: str) -> list[str]:
    """The lines that the runner obeys: none between `stop-commands` and its token."""
    token, found = None, []
    for line in log.splitlines():
        if token is not None:
            token = None if line.strip() == f"::{token}::" else token
        elif line.lstrip().startswith("::stop-commands::"):
            token = line.strip().removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::"):
            found.append(line)
    assert token is None
    return found


@pytest.mark.slow
def test_the_starter_is_graded_and_annotated(tmp_path: Path) -> None:
    write_repository(tmp_path / "course")
    job = run_job(tmp_path / "course")
    assert job.codes == {"Install": 0, "Grade": 1}, job.log
    assert job.summary.startswith("## Attention: Failed")
    first, *_, last = commands(job.log)
    assert first.startswith("::error file=my_attention.py,line=6,")
    assert last.startswith("::notice file=my_attention.py,line=6,")
    report = json.loads((job.folder / "report.json").read_text())["attn_grader"]
    assert report["verdict"] == "failed"
    assert (job.folder / "report.html").is_file()
    progress = json.loads((job.folder / "progress.json").read_text())
    assert progress["lessons"]["my_attention"]["attempts"] == 1


@pytest.mark.slow
def test_a_hostile_submission_commands_nothing(tmp_path: Path) -> None:
    write_repository(tmp_path / "course")
    (tmp_path / "course" / "my_attention.py").write_text(HOSTILE)
    job = run_job(tmp_path / "course")
    assert job.codes["Grade"] == 1, job.log
    found = commands(job.log)
    assert len(found) == 2
    assert all(line.startswith(("::error file=my_attention.py,", "::notice file=my_attention.py,")) for line in found)
