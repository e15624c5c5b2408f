"""`-k`, `-x`, `--pdb`, `--junitxml`, `--collect-only`, `--lf` …: what users of pytest expect of them."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree

import pytest

from tests.support.runs import REPORT, Warm, flat, graded
from tests.support.students import REFERENCE

WRONG = REFERENCE.replace('float("-inf")', "0.0")
BROKEN = "def attention(query, key, value, mask=None):\n    raise ValueError('not yet')\n"


def test_some_of_the_checks_are_no_verdict(warm: Warm) -> None:
    """`-k` runs what it names, by file, by function and by check id; passing a part is not passing."""
    run = warm.grade(REFERENCE, "-k", "contract.import or shape[basic] or test_target", "-v")
    # Asked for by hand, so pytest's own exit code stands; from an ini file it would not (test_isolation.py).
    run.assert_ungradable(0, f"partial: 3 of {warm.number_of_checks} checks")
    assert set(run.checks) == {"contract.import", "contract.target", "shape[basic]"}
    assert run.ids("passed") == set(run.checks)
    assert "pytest_attn_grader/checks/test_contract.py::test_import PASSED" in run.stdout
    assert f"3 passed, {warm.number_of_checks - 3} deselected" in run.stdout


@pytest.mark.slow
def test_no_check_at_all_is_no_verdict(warm: Warm) -> None:
    run = warm.grade(REFERENCE, "-k", "nothing_of_this_name")
    run.assert_ungradable(5, "no check was selected")


@pytest.mark.slow
def test_a_run_that_stops_at_the_first_failure_has_no_verdict(warm: Warm) -> None:
    """With `--junitxml` and `-q` beside, which get the three lines too."""
    run = warm.grade(BROKEN, "-x", "-q", "--junitxml=junit.xml")
    run.assert_ungradable(10, f"partial: 3 of {warm.number_of_checks} checks")
    assert run.report["score"]["possible"] == 0
    assert list(run.checks) == ["contract.import", "contract.target", "contract.call"]
    assert "stopping after 1 failures" in run.stdout
    assert "attn-grader: student.py" not in run.stdout
    suite = ElementTree.parse(run.folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "actual:   ValueError: not yet (student.py:2)" in (failure.text or "")
    assert {case.get("classname") for case in suite.iter("testcase")} == {"pytest_attn_grader.checks.test_contract"}


@pytest.mark.slow
def test_a_terminal_gets_short_failures_and_a_junit_file_whole_ones(warm: Warm) -> None:
    run = warm.grade(WRONG, "--junitxml=junit.xml")
    failures = [case.text or "" for case in ElementTree.parse(run.folder / "junit.xml").getroot().iter("failure")]
    assert len(failures) == len(run.ids("failed")) > 3
    assert all("\nexpected: " in text for text in failures)
    assert run.stdout.count("\nexpected: ") == 1
    assert run.stdout.count("\nactual:   ") == len(failures)
    # On CI, pytest's short summary repeats each failure as a whole, were it not for its title.
    on_ci = warm.grade(WRONG, "-v", environment={"CI": "true"}).stdout
    assert on_ci.count("\nexpected: ") == len(failures)
    assert "::test_later_layers - the heads of later layers still find theirs\n" in on_ci, on_ci


@pytest.mark.slow
def test_maxfail(warm: Warm) -> None:
    run = warm.grade(WRONG, "--maxfail=2")
    run.assert_ungradable(10, "partial: ")
    assert len(run.ids("failed")) == 2
    assert len(run.checks) < warm.number_of_checks


@pytest.mark.slow
def test_the_debugger_opens_at_a_failure_and_the_run_goes_on(warm: Warm) -> None:
    run = warm.grade(BROKEN, "--pdb", typed="p 6 * 7\nc\n")
    assert "(Pdb) 42" in run.stdout
    assert "actual:   ValueError: not yet" in run.stdout
    assert (run.exit_code, run.verdict) == (1, "failed")
    assert len(run.checks) == warm.number_of_checks
    quit_early = warm.grade(BROKEN, "--pdb", typed="q\n")
    assert (quit_early.exit_code, quit_early.verdict) == (2, "ungradable")
    assert "interrupted" in quit_early.report["reason"]


def test_collecting_runs_nothing(warm: Warm) -> None:
    run = warm.grade("import os\nos._exit(9)\n", "--co", "-q")
    assert run.exit_code == 0
    assert run.stdout.count("pytest_attn_grader/checks/test_") == warm.number_of_checks > 50
    assert not run.report_path.exists()


@pytest.mark.slow
def test_only_what_failed_last_time(warm: Warm) -> None:
    """`--lf` asks the failed ones again; when they pass, that is a part of the checks and no verdict."""
    folder = warm.folder({"student.py": BROKEN})
    args = [arg for arg in graded("student.py") if arg not in {"-p", "no:cacheprovider"}]
    first = warm.pytest(*args, folder=folder)
    first.assert_failed("contract.call")
    (folder / "student.py").write_text(REFERENCE)
    second = warm.pytest(*args, "--lf", folder=folder)
    assert set(second.checks) == {"contract.call"}
    second.assert_ungradable(0, "partial: 1 of ")


@pytest.mark.slow
def test_no_hints(warm: Warm) -> None:
    """What failed, and no word on why or where to look: in the terminal, the JSON and the page alike."""
    run = warm.grade(BROKEN, "--attn-hints=none", "--attn-html=page.html")
    assert (run.exit_code, run.verdict, run.ids("failed")) == (1, "failed", {"contract.call"})
    assert run.report["settings"]["hints"] == "none"
    failed = run.checks["contract.call"]
    assert failed["actual"]
    assert (failed["hint"], failed["failure"]["remedy"], run.report["diagnosis"]) == ("", "", None)
    page = (run.folder / "page.html").read_text(encoding="utf-8")
    assert all(failed["title"] in text for text in (run.stdout, page))
    for text in (run.stdout, page):
        assert not any(word in text for word in ("hint: ", "diagnosis: ", "<dt>Hint", "Hint."))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["nudge", "explain", "fix"])
def test_terminal_json_and_page_tell_as_much_as_each_other(warm: Warm, level: str) -> None:
    source = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
    assert source != REFERENCE
    run = warm.grade(source, f"--attn-hints={level}", "--attn-html=page.html")
    diagnosis = run.report["diagnosis"]
    page = (run.folder / "page.html").read_text(encoding="utf-8")
    seen = flat(html.unescape(re.sub(r"<[^>]+>", " ", page)))
    for text in (flat(run.stdout), seen):
        assert flat(diagnosis["hint"].replace("*", "")) in text.replace("*", "")
    names = ("square root of head_dim", "no-scale")
    told = [any(name in text for name in names) for text in (run.stdout, json.dumps(diagnosis), seen)]
    assert told == [level != "nudge"] * 3


@pytest.mark.slow
def test_no_report_is_written_when_none_is_asked_for(warm: Warm) -> None:
    run = warm.pytest(
        "--attn-student=student.py", "--attn-model=mini", "-x", folder=warm.folder({"student.py": BROKEN})
    )
    assert run.exit_code == 10
    assert not (run.folder / REPORT).exists()
    assert "report:" not in run.stdout.partition("= attention grader =")[2]
