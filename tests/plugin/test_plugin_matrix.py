"""Graded runs with the plugins that courses have: the same verdict, exit code and points, alone and all together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import EXIT_UNGRADABLE
from tests.support.students import REFERENCE

if TYPE_CHECKING:
    from tests.support.runs import Run, Warm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="these versions of the plugins need Python 3.11"),
]

REQUIREMENTS = Path(__file__).with_name("other_plugins.txt")
NO_SCALE = REFERENCE.replace(" / math.sqrt(query.size(-1))", "")
# The names that pytest has for the plugins, each with the options that it is used with.
OPTIONS: dict[str, tuple[str, ...]] = {
    "asyncio": ("--asyncio-mode=auto",),
    "clarity": ("-v",),
    "pytest_cov": ("--cov=student",),
    "pytest_forked": (),
    "html": ("--html=tests.html", "--self-contained-html"),
    "instafail": ("--instafail",),
    "random_order": ("--random-order", "--random-order-seed=5"),
    "randomly": ("-prandomly",),
    "repeat": ("--count=3",),
    "rerunfailures": ("--reruns=2",),
    "pytest-retry": ("--retries=2",),
    "socket": ("--disable-socket",),
    "sugar": ("--force-sugar",),
    "timeout": ("--timeout=600",),
    "xdist": ("-n2",),
}
# html has its fixtures in a second plugin, and xdist is used by rerunfailures where it is installed.
ALONE = {name: [f"-pno:{other}" for other in OPTIONS if other not in {name, "xdist"}] for name in OPTIONS}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a run that finds all plugins, as if they were installed."""
    folder = tmp_path_factory.mktemp("plugins")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run(
        [*command, "--requirement", str(REQUIREMENTS)], capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        pytest.skip(f"pip cannot install the plugins: {done.stderr.strip().splitlines()[-1]}")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def expected(warm: Warm) -> tuple[object, ...]:
    return result_of(warm.grade(NO_SCALE, "--attn-seed=1"))


def result_of(run: Run) -> tuple[object, ...]:
    """What must not depend on other plugins."""
    run.assert_tidy()
    marks = {check_id: (check["outcome"], check["points_earned"]) for check_id, check in run.checks.items()}
    score = run.report["score"]["earned"], run.report["score"]["possible"]
    return run.exit_code, run.verdict, run.report["reason"], score, marks


@pytest.mark.parametrize("name", OPTIONS)
def test_one_plugin(name: str, warm: Warm, plugins: dict[str, str], expected: tuple[object, ...]) -> None:
    run = warm.grade(NO_SCALE, "--attn-seed=1", *ALONE[name], *OPTIONS[name], environment=plugins)
    assert result_of(run) == expected
    assert " rerun" not in run.stdout.splitlines()[-1]


@pytest.mark.parametrize("xdist", [(), OPTIONS["xdist"]], ids=["in one process", "xdist"])
def test_all_plugins_together(
    xdist: tuple[str, ...], warm: Warm, plugins: dict[str, str], expected: tuple[object, ...]
) -> None:
    options = [option for name, each in OPTIONS.items() if name not in {"xdist", "random_order"} for option in each]
    wrong = warm.grade(NO_SCALE, "--attn-seed=1", *options, *xdist, environment=plugins)
    assert result_of(wrong) == expected
    right = warm.grade(REFERENCE, "--attn-seed=1", *options, *xdist, environment=plugins)
    assert (right.exit_code, right.verdict, right.report["score"]["earned"]) == (0, "passed", 100)


def test_only_the_grader(warm: Warm, expected: tuple[object, ...]) -> None:
    only = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = warm.grade(NO_SCALE, "--attn-seed=1", "-p", "pytest_attn_grader.plugin.hooks", environment=only)
    assert result_of(run) == expected


@pytest.mark.parametrize("options", [("--forked",), ("--forked", "-n2")])
def test_forked_checks_are_refused(options: tuple[str, ...], warm: Warm, plugins: dict[str, str]) -> None:
    run = warm.grade(REFERENCE, *options, environment=plugins)
    run.assert_ungradable(EXIT_UNGRADABLE, "Leave --forked out")


def test_a_failure_that_a_plugin_asks_for_is_not_the_students(warm: Warm, plugins: dict[str, str]) -> None:
    run = warm.grade(REFERENCE, "--cov=student", "--cov-fail-under=100", environment=plugins)
    run.assert_ungradable(EXIT_UNGRADABLE, "no test failed, but another plugin made pytest fail")
    wrong = warm.grade(NO_SCALE, "--cov=student", "--cov-fail-under=100", environment=plugins)
    assert (wrong.exit_code, wrong.verdict) == (1, "failed")


FLAKY = """
import pytest

@pytest.fixture(scope="session")
def tries():
    return []

@pytest.mark.attn_check(id="custom.flaky", title="A check of the course")
def test_flaky(tries, attn_student):
    tries.append(1)
    assert len(tries) == 2
"""


def test_an_instructors_own_check_is_run_again(warm: Warm, plugins: dict[str, str]) -> None:
    """The course asks for it, and knows why; the last try counts."""
    files = {"student.py": REFERENCE, "test_course.py": FLAKY}
    run = warm.grade(files, "--reruns=2", "test_course.py", environment=plugins)
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert run.checks["custom.flaky"]["outcome"] == "passed"
    assert "1 rerun" in run.stdout
