"""What the README says is true: its commands, tables and code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.errors import EXIT_REPORT_LOST, EXIT_UNGRADABLE
from pytest_attn_grader.misconceptions import MISCONCEPTIONS
from pytest_attn_grader.settings.options import DEFAULT_POINTS, FORMAT_NAMES, OPTIONS
from tests.cli.assess.conftest import answer, write_report
from tests.support.llm_server import LlmServer, completion

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def table_rows(header: str) -> list[list[str]]:
    """The body of the table whose first header cell is `header`, as stripped cells."""
    _, _, after = README.partition(f"\n| {header} |")
    rows = []
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_ci_runs_the_first_two_commands():
    main_job, own_tests = code_blocks("bash")[:2]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    install, _, grade = main_job.strip().partition(" && ")
    assert own_tests.strip() == f"{install} && pytest"
    assert own_tests.strip() in script
    assert f"\n{grade}\n" in script


def test_option_table_is_complete_and_has_the_defaults():
    rows = {row[0].strip("`"): row for row in table_rows("option")}
    assert list(rows) == [option.flag for option in OPTIONS]
    for option in OPTIONS:
        assert rows[option.flag][-1].strip("`") == (option.default or "")
        for choice in option.choices or ():
            assert choice in rows[option.flag][2] or choice in rows[option.flag][3] or option.noun == "sandbox"


def test_points_table_is_what_the_code_gives():
    points = {row[0]: float(row[1]) for row in table_rows("category")}
    assert points == {name: value for name, value in DEFAULT_POINTS.items() if value}
    assert sum(points.values()) == 100


def test_number_of_known_mistakes_is_the_catalogue_s():
    assert f"The grader knows {len(MISCONCEPTIONS)} mistakes" in README


def test_exit_codes_are_the_code_s():
    paragraph = next(line for line in README.split("\n\n") if line.startswith("**Exit codes.**"))
    assert f"{EXIT_UNGRADABLE}: ungradable" in " ".join(paragraph.split())
    assert f"{EXIT_REPORT_LOST}: the report could not be written" in " ".join(paragraph.split())


def test_linked_files_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"`((?:examples|pytest_attn_grader)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_course_kit_commands_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = next(block for block in code_blocks("bash") if "attn-grader gradescope-zip" in block)
    for command in commands.splitlines():
        program, *arguments = command.split()
        assert program == "attn-grader"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "course" / "my_attention.py").is_file()
    assert (tmp_path / "autograder.zip").is_file()


def test_assessment_commands_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report(tmp_path / "report.json")
    setting, *commands = next(block for block in code_blocks("bash") if "attn-grader assess" in block).splitlines()
    variables = dict(each.split("=", 1) for each in setting.removeprefix("export ").split())
    with LlmServer([completion(answer())]) as server:
        assert variables.keys() <= server.environment.keys()
        for name, value in (variables | server.environment).items():
            monkeypatch.setenv(name, value)
        results = [CliRunner().invoke(app, command.removeprefix("attn-grader ").split()) for command in commands]
    assert [result.exit_code for result in results] == [0, 0], [result.output for result in results]
    assert json.loads(results[0].stdout)["model"] == "my-model"
    assert (tmp_path / "report.assessment.json").is_file()


@pytest.mark.slow
def test_from_an_empty_folder_to_a_gradebook(tmp_path):
    commands = next(block for block in code_blocks("bash") if "--resume" in block).splitlines()
    assert len(commands) == 5
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command in commands:
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        if "--resume" in command:
            assert "2 failed, 2 already graded" in result.stdout
    rows = (tmp_path / "graded" / "gradebook.csv").read_text().splitlines()
    assert [row.split(",")[0:3:2] for row in rows[1:]] == [["ann", "failed"], ["bob", "failed"]]
    page = (tmp_path / "graded" / "gradebook.html").read_text()
    for name in ("ann", "bob"):
        assert f'href="pages/{name}.html"' in page
        assert (tmp_path / "graded" / "pages" / f"{name}.html").is_file()


def test_format_table_is_complete():
    assert tuple(row[0].strip("`") for row in table_rows("format")) == FORMAT_NAMES


@pytest.mark.slow
def test_format_commands_work(tmp_path):
    commands = next(block for block in code_blocks("bash") if "attn-grader convert" in block)
    grade, convert = (command.split() for command in commands.splitlines())
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    subprocess.run([*grade, "--attn-model=mini"], cwd=tmp_path, env=environment, check=False, timeout=240)
    assert json.loads((tmp_path / "results.json").read_text())["score"] > 0
    result = subprocess.run(convert, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("## Attention: Failed")


def test_ini_example_is_accepted(pytester):
    pytester.makeini(code_blocks("ini")[0])
    result = pytester.runpytest_subprocess("--attn-student=missing", "--attn-model=mini")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*there is no module 'missing'*")


def test_submission_in_the_readme_passes(tmp_path):
    submission = code_blocks("python")[0]
    (tmp_path / "my_attention.py").write_text(submission, encoding="utf-8")
    command = code_blocks("bash")[2].strip().replace("pytest", f"{sys.executable} -m pytest") + " --attn-model=mini -q"
    result = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "100 of 100 points" in result.stdout
