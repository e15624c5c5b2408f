"""A class folder made of all oddities is graded in one go, with one row for each."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from pytest_attn_grader.cli.grade.runners import Job, Outcome
from tests.support.odd_classes import write_exports, write_odd_class

GRADED = {"passed", "failed"}


@pytest.fixture
def odd_class(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The class in `tmp_path / "class"`, exports beside it, and what must become of each submission."""
    yield write_odd_class(tmp_path / "class", tmp_path / "secret") | write_exports(tmp_path / "exports")
    # pytest cannot remove folders that are nested this deep.
    subprocess.run(["rm", "-rf", tmp_path / "class"], check=True)


def sources(folder: Path) -> list[Path]:
    return [folder / "class", *sorted((folder / "exports").iterdir())]


def grade(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["grade", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def read_rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def check_rows(rows: dict[str, dict[str, str]], expected: dict[str, str]) -> None:
    assert rows.keys() == expected.keys()
    for name, outcome in expected.items():
        if outcome in GRADED:
            assert rows[name]["verdict"] == outcome, f"{name}: {rows[name]['flags']}"
        else:
            assert (rows[name]["verdict"], rows[name]["earned"]) == ("ungradable", "")
            assert outcome in rows[name]["flags"]


@pytest.fixture
def fast_runs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Instead of grading, note the job, and let it pass."""
    jobs: list[Job] = []

    def run(job: Job) -> Outcome:
        jobs.append(job)
        return Outcome(job.id, "passed")

    monkeypatch.setattr("pytest_attn_grader.cli.grade.grade.run_job", run)
    return jobs


def test_every_oddity_has_a_row(tmp_path: Path, odd_class: dict[str, str], fast_runs: list[Job]) -> None:
    expected = odd_class
    code, said = grade(*sources(tmp_path), "--out", tmp_path / "out", "--model", "mini")
    assert code == 10, said
    assert said.isprintable() or all(char.isprintable() or char == "\n" for char in said)
    rows = read_rows(tmp_path / "out")
    assert rows.keys() == expected.keys()
    check_rows({name: row for name, row in rows.items() if expected[name] not in GRADED}, _problems(expected))
    assert {job.id for job in fast_runs} == {name for name, outcome in expected.items() if outcome in GRADED}
    for job in fast_runs:
        student = next(each for each in job.args if each.startswith("--attn-student="))
        path = Path(student.removeprefix("--attn-student="))
        assert path.is_file()
        assert path.suffix in {".py", ".ipynb"}
        assert str(path).isprintable()
        assert "secret" not in path.read_text()


def _problems(expected: dict[str, str]) -> dict[str, str]:
    return {name: outcome for name, outcome in expected.items() if outcome not in GRADED}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_odd_class_is_graded_in_one_go(tmp_path: Path, odd_class: dict[str, str]) -> None:
    expected = odd_class
    roster = tmp_path / "roster.csv"
    roster.write_bytes("\ufeffStudent ID;Name\n\ngood;Ann\nabsent;Zoë\n".encode())
    options = ("--model", "mini", "--seed", "8", "--quiet", "--roster", roster)
    code, said = grade(*sources(tmp_path), "--out", tmp_path / "out", *options)
    assert code == 10, said
    rows = read_rows(tmp_path / "out")
    check_rows(rows, expected | {"absent": "no submission"})
    assert (rows["good"]["name"], rows["absent"]["name"]) == ("Ann", "Zoë")
    assert [rows[each]["name"] for each in ("201", "alee", "401", "501", "Bob Ray")] == [*["Ann Lee"] * 4, "Bob Ray"]
    assert "late" in rows["102"]["notes"]
    assert "newest of 2 attempts" in rows["alee"]["notes"]
    page = (tmp_path / "out" / "gradebook.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page


def test_a_withdrawn_submission_has_no_row_and_a_broken_one_no_old_report(tmp_path: Path, fast_runs: list[Job]) -> None:
    folder, out = tmp_path / "class", tmp_path / "out"
    for name in ("ann", "bob", "cleo"):
        (folder / name).mkdir(parents=True)
        (folder / name / "attention.py").write_text("x = 1")
    assert grade(folder, "--out", out)[0] == 0
    for name in ("ann", "bob", "cleo"):
        (out / "reports" / f"{name}.json").write_text("{}")
    shutil.rmtree(folder / "ann")
    (folder / "bob" / "attention.py").unlink()
    assert grade(folder, "--out", out)[0] == 10
    assert read_rows(out).keys() == {"bob", "cleo"}
    assert not (out / "reports" / "bob.json").exists()
    assert "the folder is empty" in read_rows(out)["bob"]["flags"]


def test_the_options_of_a_run_reach_pytest(tmp_path: Path, fast_runs: list[Job]) -> None:
    (tmp_path / "ann.py").write_text("x = 1")
    options = ("--name", "attend", "--layer", "1", "--hints", "fix", "--timeout", "3", "--prompt", "A b c", "--plots")
    assert grade(tmp_path / "ann.py", "--out", tmp_path / "out", *options, "--format", "gradescope")[0] == 0
    (job,) = fast_runs
    assert f"--attn-student={tmp_path / 'ann.py'}:attend" in job.args
    for argument in ("--attn-layer=1", "--attn-hints=fix", "--attn-timeout=3", "--attn-prompt=A b c"):
        assert argument in job.args
    assert f"--attn-plots={tmp_path / 'out' / 'plots' / 'ann'}" in job.args
    assert any(each.startswith(f"--attn-format=gradescope:{tmp_path / 'out'}") for each in job.args)


@pytest.mark.parametrize(
    ("options", "word"), [(("--name", "a b"), "is not a Python name"), (("--format", "moodle"), "format 'moodle'")]
)
def test_values_that_are_refused(options: tuple[str, str], word: str, tmp_path: Path, fast_runs: list[Job]) -> None:
    (tmp_path / "ann.py").write_text("x = 1")
    code, said = grade(tmp_path / "ann.py", "--out", tmp_path / "out", *options)
    assert (code, fast_runs) == (2, [])
    assert word in said


def test_an_output_folder_that_cannot_be_written(tmp_path: Path, fast_runs: list[Job]) -> None:
    (tmp_path / "ann.py").write_text("x = 1")
    (tmp_path / "file").write_text("not a folder")
    code, said = grade(tmp_path / "ann.py", "--out", tmp_path / "file" / "out")
    assert (code, fast_runs) == (2, [])
    assert said.count("\n") == 1
    assert "Not a directory" in said


def test_a_full_disk_is_one_line_and_what_is_graded_stays(
    tmp_path: Path, fast_runs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "bob"):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "attention.py").write_text("x = 1")
    out = tmp_path / "out"
    sync = os.fsync

    def full_after_both(descriptor: int) -> None:
        if len(fast_runs) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", full_after_both)
    code, said = grade(tmp_path / "class", "--out", out, "--processes", "1", "--quiet", "--seed", "3")
    assert code == 2
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert (out / "class.json").is_file()


def test_outputs_that_are_links_are_written_through(tmp_path: Path, fast_runs: list[Job]) -> None:
    (tmp_path / "ann.py").write_text("x = 1")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "reports").symlink_to(elsewhere)
    (out / "gradebook.csv").symlink_to(elsewhere / "grades.csv")
    assert grade(tmp_path / "ann.py", "--out", out)[0] == 0
    assert (out / "gradebook.csv").is_symlink()
    assert (elsewhere / "grades.csv").read_text(encoding="utf-8").startswith("id,name,verdict")
