"""What the README and the guides say is true: their commands, tables, links, code and pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.errors import EXIT_REPORT_LOST, EXIT_UNGRADABLE
from pytest_attn_grader.settings.options import DEFAULT_POINTS, FORMAT_NAMES
from tests.cli.assess.conftest import answer, write_report
from tests.support import pictures
from tests.support.guide_tables import TABLES, updated
from tests.support.llm_server import LlmServer, completion

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / ".github" / "docs"
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / ".github").rglob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
MAX_README_BYTES = 6_400
MAX_PICTURE_BYTES = 200_000
# These change the environment, or are what CI does; CI's own script has the first two.
INSTALLING = re.compile(r"^pip install .*&& (pytest.*)$")
NOT_RUN = {"lint-imports", "bash .ci/run"}


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(path: Path) -> list[str]:
    return [line for block in code_blocks(path.read_text(encoding="utf-8"), "bash") for line in block.splitlines()]


def table_rows(text: str, header: str) -> list[list[str]]:
    """The body of the table whose first header cell is `header`, as stripped cells."""
    _, _, after = text.partition(f"\n| {header} |")
    rows = []
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_readme_is_short() -> None:
    assert len(README.encode()) <= MAX_README_BYTES


def test_ci_runs_the_first_two_commands() -> None:
    main_job, own_tests = code_blocks(README, "bash")[:2]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    install, _, grade = main_job.strip().partition(" && ")
    assert own_tests.strip() == f"{install} && pytest"
    assert own_tests.strip() in script
    assert f"\n{grade}\n" in script


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link
    for path in re.findall(r"`((?:examples|pytest_attn_grader|tests)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_readme_links_every_guide() -> None:
    for guide in GUIDES.iterdir():
        assert f"(.github/docs/{guide.name})" in README


@pytest.mark.parametrize("guide", sorted(GUIDES.iterdir()), ids=page_id)
def test_guide_opens_with_a_command(guide: Path) -> None:
    first, second = guide.read_text(encoding="utf-8").split("\n\n")[:2]
    assert first.startswith("# ")
    assert second.startswith(("```bash\n", "```console\n"))


@pytest.mark.parametrize("name", TABLES)
def test_generated_table_is_up_to_date(name: str) -> None:
    assert updated(name) == (GUIDES / name).read_text(encoding="utf-8"), "run: python -m tests.support.guide_tables"


def test_points_are_the_default_points() -> None:
    points = {row[0]: float(row[1]) for row in table_rows(README, "category")}
    assert points == {name: value for name, value in DEFAULT_POINTS.items() if value}
    assert sum(points.values()) == 100


def test_exit_codes() -> None:
    codes = {int(code): meaning for code, meaning in table_rows((GUIDES / "options.md").read_text(), "code")}
    assert "ungradable" in codes[EXIT_UNGRADABLE]
    assert "report" in codes[EXIT_REPORT_LOST]
    assert codes.keys() == {0, 1, pytest.ExitCode.USAGE_ERROR, EXIT_UNGRADABLE, EXIT_REPORT_LOST}


def test_format_table_is_complete() -> None:
    rows = table_rows((GUIDES / "reports.md").read_text(), "format")
    assert tuple(row[0].strip("`") for row in rows) == FORMAT_NAMES


def test_ini_example_is_accepted(pytester: pytest.Pytester) -> None:
    pytester.makeini(code_blocks((GUIDES / "checks.md").read_text(), "ini")[0])
    result = pytester.runpytest_subprocess("--attn-student=missing", "--attn-model=mini")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*there is no module 'missing'*")


def test_layers_are_the_contract_s() -> None:
    rooms = {row[1].strip("`/"): int(row[0]) for row in table_rows((GUIDES / "architecture.md").read_text(), "layer")}
    contract = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert contract
    layers = [re.findall(r"\w+", line) for line in contract[1].splitlines()]
    expected = {room: len(layers) - place for place, line in enumerate(layers) for room in line}
    assert rooms == {room: layer for room, layer in expected.items() if room not in {"errors", "_utils", "model_utils"}}


def test_every_command_has_an_example() -> None:
    for command in app.registered_commands:
        assert command.epilog
        assert command.epilog.startswith("Example: attn-grader ")


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A folder with the examples, the README's submission and a report, and the environment to run commands in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "my_attention.py").write_text(code_blocks(README, "python")[0], encoding="utf-8")
    write_report(tmp_path / "report.json")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}
    with LlmServer([completion(answer())]) as server:
        # A command's own `export` must not lead elsewhere than to the test's server.
        yield {**cleared, "PATH": path, "ATTN_MODEL": "mini", "PYTHONPATH": str(ROOT), **server.environment}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_id)
def test_commands_work(page: Path, visitor: dict[str, str], tmp_path: Path) -> None:
    if page.parent == ROOT / ".github":
        pytest.skip("a contributor's commands, which CI runs")
    for line in commands(page):
        if line in NOT_RUN or line.startswith("export "):
            continue
        installing = INSTALLING.match(line)
        command = installing[1] if installing else line
        if command == "pytest":
            continue
        run = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=visitor, capture_output=True, text=True, timeout=280, check=False
        )
        expected = 1 if "wrong_" in command and command.startswith("pytest") else 0
        assert run.returncode == expected, (command, run.stdout, run.stderr)
        made = re.search(r"(?:--out|--html|--attn-html=|--attn-report=)[ =]?(\S+)", command)
        assert made is None or (tmp_path / made[1]).exists()


@pytest.mark.slow
def test_code_for_notebooks_works(tmp_path: Path) -> None:
    code = [*code_blocks(README, "python"), *code_blocks((GUIDES / "notebooks.md").read_text(), "python")]
    code.append("assert report.verdict == 'passed'\n")
    environment = {**os.environ, "ATTN_MODEL": "mini"}
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_pictures_are_light_and_shown() -> None:
    for picture in pictures.IMAGES.iterdir():
        assert picture.stat().st_size < MAX_PICTURE_BYTES
        assert f"](.github/images/{picture.name})" in README


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(pictures.CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
def test_pictures_show_what_runs_show_now(tmp_path: Path) -> None:
    pictures.draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in pictures.IMAGES.iterdir()}
    for picture in tmp_path.iterdir():
        shown = pictures.shown_text(pictures.IMAGES / picture.name)
        assert shown == pictures.shown_text(picture), "run: python -m tests.support.pictures"
