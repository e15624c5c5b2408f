"""What pip gets: versions that fit together on every Python that is promised, and archives that an index accepts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from pytest_attn_grader.cli.init.repository import write_repository

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
MAX_WHEEL_BYTES = 12 * 2**20


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def package_index() -> None:
    """Skip where no package index can be reached."""
    result = run("pip", "download", "--no-deps", "--no-cache-dir", "--dest", "/dev/null", "iniconfig==0")
    if "from versions: none" in result.stderr or "from versions" not in result.stderr:
        pytest.skip(f"no package index can be reached: {result.stderr.strip().splitlines()[-1]}")


def test_promised_pythons() -> None:
    assert PYTHONS == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert f'requires-python = ">={PYTHONS[0]}"' in PYPROJECT


def test_constraints_say_how_they_are_made() -> None:
    command = CONSTRAINTS.splitlines()[1].lstrip("# ")
    assert command.startswith(f"uv pip compile pyproject.toml --universal --python-version {PYTHONS[0]} --extra dev")
    assert command.endswith("-o constraints.txt")


@pytest.mark.slow
@pytest.mark.usefixtures("package_index")
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "windows"])
def test_constraints_resolve(python: str, platform: str) -> None:
    """Every pinned version exists as a wheel for this Python, and all of them fit together."""
    result = run(
        *("uv", "pip", "compile", "pyproject.toml", "--extra=dev", "--constraint=constraints.txt"),
        *(f"--python-version={python}", f"--python-platform={platform}", "--only-binary=:all:", "--no-annotate"),
    )
    assert result.returncode == 0, result.stderr
    pins = re.findall(r"^[\w.-]+==[^ \n]+", result.stdout, flags=re.MULTILINE)
    assert {pin.partition("==")[0] for pin in pins} >= {"torch", "transformers", "pytest"}
    pinned = set(re.findall(r"^[\w.-]+==[^ \n]+", CONSTRAINTS, flags=re.MULTILINE))
    assert set(pins) <= pinned, "run the command in the head of constraints.txt"


@pytest.fixture(scope="module")
def archives(package_index: None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    result = run("build", "--outdir", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def metadata(archives: list[Path]) -> Message:
    with zipfile.ZipFile(archives[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.slow
def test_index_accepts_the_archives(archives: list[Path]) -> None:
    assert [path.suffix for path in archives] == [".whl", ".gz"]
    result = run("twine", "check", "--strict", *map(str, archives))
    assert result.returncode == 0, result.stdout + result.stderr
    result = run("check_wheel_contents", str(archives[0]))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_a_course_installs_the_wheel_where_no_index_has_it(archives: list[Path], tmp_path: Path) -> None:
    write_repository(tmp_path, grader=archives[0].name)
    shutil.copy(archives[0], tmp_path)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", "--ignore-installed"]
    command += ["-r", "requirements.txt"]
    loud = {**os.environ, "PIP_QUIET": "0"}
    result = subprocess.run(command, cwd=tmp_path, env=loud, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Would install pytest-attn-grader-" in result.stdout


@pytest.mark.slow
def test_wheel_is_small_and_has_what_a_run_needs(archives: list[Path]) -> None:
    assert archives[0].stat().st_size < MAX_WHEEL_BYTES
    with zipfile.ZipFile(archives[0]) as wheel:
        names = set(wheel.namelist())
    for needed in (
        "py.typed",
        "models/mini/model.safetensors",
        "models/mini/llama/model.safetensors",
        "reports/schema/report.schema.json",
    ):
        assert f"pytest_attn_grader/{needed}" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"pytest_attn_grader"}


@pytest.mark.slow
def test_links_of_the_description_are_absolute(metadata: Message) -> None:
    urls = dict(value.split(", ", 1) for value in metadata.get_all("Project-URL", []))
    description = metadata.get_payload()
    assert isinstance(description, str)
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    own = [target for target in targets if "/blob/main/" in target]
    assert own
    assert all(target.startswith(urls["Source"]) for target in own)


def test_citation_has_the_version() -> None:
    citation = (ROOT / ".github" / "CITATION.cff").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', PYPROJECT, flags=re.MULTILINE)
    assert version
    assert f"\nversion: {version[1]}\n" in citation
