"""Submissions that hang, die, shout or answer only sometimes: each fault has its name, and the run goes on."""

from __future__ import annotations

import re

import pytest

from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

HEAD = "import ctypes, os, sys, time\n"
ALWAYS = HEAD + "def attention(query, key, value, mask=None):\n    {deed}\n"
# Right for every input but one kind.
SOMETIMES = (
    "{head}{reference}\n_right = attention\ndef attention(query, key, value, mask=None):\n"
    "    if {when}:\n        {deed}\n    return _right(query, key, value, mask)\n"
)
LONG = "query.shape[-2] == 97"


def sometimes(deed: str, when: str = LONG) -> str:
    return SOMETIMES.format(head=HEAD, reference=REFERENCE, deed=deed, when=when)


def assert_ended_in_its_own_words(run: Run, check_id: str, failure: str) -> None:
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text
    failed = run.checks[check_id]
    assert failed["failure"]["name"] == failure
    assert failed["failure"]["message"] in failed["actual"]
    assert not run.ids("error")


@pytest.mark.parametrize(
    ("deed", "failure", "words"),
    [
        pytest.param("os._exit(0)", "exited", "0", id="os._exit", marks=pytest.mark.slow),
        pytest.param("sys.exit()", "exited", "SystemExit", id="sys.exit", marks=pytest.mark.slow),
        pytest.param("ctypes.string_at(0)", "crashed", "SIGSEGV", id="segfault", marks=pytest.mark.slow),
        pytest.param("raise KeyboardInterrupt", "raised", "KeyboardInterrupt", id="interrupt", marks=pytest.mark.slow),
    ],
)
def test_a_submission_that_dies_in_every_call(deed: str, failure: str, words: str, warm: Warm) -> None:
    run = warm.grade(ALWAYS.format(deed=deed))
    run.assert_failed("contract.call")
    assert_ended_in_its_own_words(run, "contract.call", failure)
    assert words in run.checks["contract.call"]["actual"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("correct", "wrong"),
    [
        pytest.param("weights @ value, weights", "weights @ value * float('nan'), weights", id="output"),
        pytest.param("weights @ value, weights", "weights @ value * 1e38, weights", id="overflow"),
        pytest.param("~mask", "mask", id="softmax of nothing"),
    ],
)
def test_a_number_that_does_not_exist_is_never_shown(correct: str, wrong: str, warm: Warm) -> None:
    source = REFERENCE.replace(correct, wrong)
    assert source != REFERENCE
    run = warm.grade(source, "-v")
    assert run.verdict == "failed"
    for failed in run.ids("failed"):
        assert not re.search(r"\b(nan|inf)\b", run.checks[failed]["actual"]), run.checks[failed]
    assert "– (NaN or infinite)" in run.stdout  # noqa: RUF001  # as in print


@pytest.mark.slow
def test_a_submission_that_hangs_in_every_call(warm: Warm) -> None:
    run = warm.grade(ALWAYS.format(deed="time.sleep(1000)"), "--attn-timeout=1")
    run.assert_failed("contract.call")
    assert_ended_in_its_own_words(run, "contract.call", "timeout")
    assert "After 1 s" in run.checks["contract.call"]["actual"]
    # One call is asked once; nobody waits for the others.
    assert run.checks["contract.call"]["seconds"] + run.checks["budget.run"]["seconds"] < 20


@pytest.mark.parametrize(
    ("deed", "failure"),
    [
        pytest.param("raise ValueError('no such length')", "raised", id="raises", marks=pytest.mark.slow),
        pytest.param("os._exit(3)", "exited", id="exits", marks=pytest.mark.slow),
        pytest.param("time.sleep(1000)", "timeout", id="hangs", marks=pytest.mark.slow),
        pytest.param("ctypes.string_at(0)", "crashed", id="crashes", marks=pytest.mark.slow),
    ],
)
def test_a_submission_that_fails_at_one_length(deed: str, failure: str, warm: Warm) -> None:
    run = warm.grade(sometimes(deed), "--attn-timeout=5")
    assert_ended_in_its_own_words(run, "shape[long]", failure)
    # Everything else is still judged, by a new worker where the old one is gone.
    assert {"contract.call", "shape[limit]", "equivalence.basic", "gradients.equal[key]", "behaviour.loss"} <= run.ids(
        "passed"
    )
    assert run.ids("failed") <= {"shape[long]", "equivalence[long]", "behaviour.loss", "budget.run"}
    assert 80 < run.report["score"]["earned"] < 100


@pytest.mark.slow
def test_a_submission_that_is_right_but_for_one_length(warm: Warm) -> None:
    run = warm.grade(sometimes("return value * 0.999, _right(query, key, value, mask)[1]"))
    run.assert_tidy()
    assert (run.exit_code, run.verdict) == (1, "failed")
    assert run.ids("failed") == {"equivalence[long]"}
    assert "output off by" in run.checks["equivalence[long]"]["actual"]


@pytest.mark.slow
def test_a_submission_that_hangs_whenever_the_model_asks(warm: Warm) -> None:
    """Six tokens is the prompt's length: the comparison gives up at its first call, and so does what builds on it."""
    run = warm.grade(sometimes("time.sleep(1000)", when="query.shape[-2] == 6"), "--attn-timeout=5")
    assert_ended_in_its_own_words(run, "similarity[cosine]", "timeout")
    assert run.report["comparison"] is None


@pytest.mark.slow
def test_a_submission_that_shouts(warm: Warm) -> None:
    run = warm.grade(ALWAYS.format(deed="while True: print('x' * 100_000)"), "--attn-timeout=5")
    assert_ended_in_its_own_words(run, "contract.call", "output-flood")
    assert len(run.stdout) < 20_000
    assert run.report_path.stat().st_size < 2_000_000


@pytest.mark.slow
def test_what_a_submission_prints_is_in_the_report_and_cannot_play_the_grader(warm: Warm) -> None:
    shout = 'print("\\x1b[2J9999" " passed"); print("{}", file=sys.__stdout__)'
    run = warm.grade(sometimes(f"{shout}; raise ValueError('\\x1b[31mred')"))
    assert_ended_in_its_own_words(run, "shape[long]", "raised")
    assert "9999 passed" in run.report["student"]["captured_output"]
    assert "\x1b" not in run.text
    assert "9999 passed" not in run.text
