"""`pytest -n 2`: the checks stay together in one worker, and the controller writes the same report."""

from __future__ import annotations

import pytest

from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

WRONG = REFERENCE.replace("math.sqrt(query.size(-1))", "query.size(-1)")
# Written while the machine was busy with other things: what a clock says differs from run to run.
MEASURED = {"seconds", "evidence", "nodeid", "message", "actual"}
DIES = "import os\n\ndef test_dies({fixture}):\n    if not os.path.exists('died'):\n        open('died', 'w').close()\n"
COURSE = "def test_a(attn_student):\n    pass\n\ndef test_b(attn_model):\n    assert attn_model.config.n_layer == 99\n"


def alike(run: Run) -> list[dict[str, object]]:
    return [{key: value for key, value in check.items() if key not in MEASURED} for check in run.checks.values()]


@pytest.mark.slow
def test_a_failing_run_is_the_same_with_and_without(warm: Warm) -> None:
    alone = warm.grade(WRONG, "--attn-seed=3")
    together = warm.grade(WRONG, "--attn-seed=3", "-n", "2")
    together.assert_tidy()
    assert (together.exit_code, together.verdict) == (alone.exit_code, alone.verdict) == (1, "failed")
    assert alike(together) == alike(alone)
    assert together.report["score"] == alone.report["score"]
    for part in ("model", "prompt", "seeds", "settings", "diagnosis"):
        assert together.report[part] == alone.report[part]
    assert together.report["student"]["sha256"] == alone.report["student"]["sha256"]
    assert together.report["comparison"]["heads"] == alone.report["comparison"]["heads"]
    assert together.report["sandbox"]["workers_started"] >= 1
    assert together.report["tolerances"]
    assert together.document["summary"] == alone.document["summary"]
    # The terminal says the same, once.
    assert together.stdout.count("= attention grader =") == 1
    verdict = next(line for line in alone.stdout.splitlines() if line.startswith("FAILED "))
    assert verdict in together.stdout


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", "loadfile", "worksteal"])
def test_a_passing_run_with_the_checks_in_one_worker(dist: str, warm: Warm) -> None:
    run = warm.grade(REFERENCE, "-n", "2", f"--dist={dist}")
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert run.report["score"]["earned"] == 100
    assert run.ids("passed") | run.ids("not-applicable") == set(run.checks)
    assert run.report["seeds"]["inputs"] > 0
    assert "PASSED  100 of 100 points" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "exit_code", "words"),
    [
        (("--attn-model=./nowhere",), 10, "./nowhere"),
        (("--attn-layer=7",), 4, "mini has 3 layers"),
        (("-k", "masking"), 0, "partial: "),
    ],
)
def test_an_ungradable_run(args: tuple[str, ...], exit_code: int, words: str, warm: Warm) -> None:
    run = warm.grade(REFERENCE, "-n", "2", *args)
    run.assert_ungradable(exit_code, words)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_a_run_that_ends_at_a_failure_is_partial(option: str, warm: Warm) -> None:
    run = warm.grade(WRONG, "-n", "2", option)
    run.assert_ungradable(10, "partial: ")


@pytest.mark.slow
def test_a_usage_error_is_found_before_any_worker_starts(warm: Warm) -> None:
    run = warm.grade(REFERENCE, "-n", "2", target="nowhere.py")
    run.assert_ungradable(4, "there is no file")
    assert "workers" not in run.stdout


@pytest.mark.slow
def test_an_instructors_failing_test_and_a_bad_marker(warm: Warm) -> None:
    run = warm.grade({"student.py": REFERENCE, "test_course.py": COURSE}, "-n", "2", "test_course.py")
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text
    assert run.report["reason"] == "1 of the instructor's own test failed"
    assert run.report["score"]["earned"] == 100
    bad = "import pytest\n@pytest.mark.attn_check(id='a')\ndef test_a(): pass\n"
    run = warm.grade({"student.py": REFERENCE, "test_course.py": bad}, "-n", "2", "test_course.py")
    run.assert_ungradable(4, "test_course.py::test_a: attn_check takes the keywords id, title")


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["attn_student", "tmp_path"], ids=["with the checks", "beside the checks"])
@pytest.mark.parametrize("more", [(), ("--max-worker-restart=0",)], ids=["replaced", "crashed"])
def test_a_lost_worker_is_no_verdict(fixture: str, more: tuple[str, ...], warm: Warm) -> None:
    """Whatever the reports of the other worker, or of the one that replaces it, say."""
    course = DIES.format(fixture=fixture) + "        os._exit(1)\n"
    run = warm.grade({"student.py": REFERENCE, "test_course.py": course}, "-n", "2", *more, "test_course.py")
    assert (run.exit_code, run.verdict) == (10, "ungradable"), run.text
    assert run.report["exit_code"] == 10
    assert "a worker of pytest-xdist was lost" in run.report["reason"]
    assert "FAILED 0 of" not in run.stdout
