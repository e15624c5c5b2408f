"""An instructor's own tests beside the checks: the fixtures, the marker, and what they do to the verdict."""

from __future__ import annotations

import pytest

from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

WITH_FIXTURES = """
import pytest
import torch

def test_fixtures(
    attn_model, attn_tokenizer, attn_prompt, attn_reference, attn_student, attn_comparison, attn_settings
):
    assert attn_model.config.n_layer == 3
    assert attn_tokenizer.decode(attn_prompt.input_ids[0]) == attn_prompt.text == "The cat sat on the mat"
    query, key, value = torch.randn(3, 3, 4, 5, 64).unbind()
    keep = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    student, reference = attn_student(query, key, value, keep), attn_reference(query, key, value, keep)
    torch.testing.assert_close(student[0], reference[0])
    assert len(attn_comparison.heads_of_layer) == attn_model.config.n_head
    assert attn_settings.student == "student.py"

@pytest.mark.attn_check(id="course.evidence", title="notes and requires", category="masking")
def test_evidence(attn_evidence):
    attn_evidence.record(number=42)
    attn_evidence.check(True, expected="a", actual="b", hint="c")
"""
FAILING = """
import pytest

def test_plain(attn_student):
    assert attn_student is None, "plain words"

@pytest.mark.attn_check(id="course.assertion", title="an assertion", needs=("contract.call",))
def test_assertion(attn_student):
    assert attn_student is None, "the student is there"

@pytest.mark.attn_check(id="course.requirement", title="a requirement", weight=3)
def test_requirement(attn_evidence):
    attn_evidence.check(False, expected="more", actual="less", hint="there")

@pytest.mark.attn_check(id="course.fine", title="fine: {size}")
@pytest.mark.parametrize("size", [1, 2])
def test_fine(size): pass
"""
BROKEN = "def attention(query, key, value, mask=None):\n    raise ValueError('not yet')\n"


@pytest.fixture(scope="module")
def good_course(warm: Warm) -> Run:
    return warm.grade({"student.py": REFERENCE, "test_course.py": WITH_FIXTURES}, "test_course.py")


def test_the_fixtures_serve_a_test_of_the_course(good_course: Run) -> None:
    good_course.assert_tidy()
    assert (good_course.exit_code, good_course.verdict) == (0, "passed"), good_course.text
    assert "test_course.py .." in good_course.stdout


def test_a_marked_test_shares_the_points_of_its_category(good_course: Run) -> None:
    check = good_course.checks["course.evidence"]
    assert (check["category"], check["evidence"], check["outcome"]) == ("masking", {"number": 42}, "passed")
    assert check["points_possible"] > 0
    assert good_course.report["score"]["possible"] == 100


@pytest.fixture(scope="module")
def failing_course(warm: Warm) -> Run:
    files = {"student.py": REFERENCE, "test_course.py": FAILING}
    return warm.grade(files, "test_course.py", ini="attn_points =\n  custom = 20\n")


def test_what_fails_in_the_course_fails_the_submission(failing_course: Run) -> None:
    run = failing_course
    assert (run.exit_code, run.verdict) == (1, "failed"), run.text
    assert run.report["reason"] == "2 checks failed and 1 of the instructor's own test failed"
    assert run.ids("failed") == {"course.assertion", "course.requirement"}
    assert run.ids("passed") >= {"course.fine[1]", "course.fine[2]", "contract.call"}
    # pytest shows a plain assertion as it always does, and a requirement in its three lines.
    assert "AssertionError: the student is there" in run.stdout
    assert "expected: more\nactual:   less\nhint:     there" in run.stdout
    for check_id in run.ids("failed"):
        assert all(run.checks[check_id][line] for line in ("expected", "actual", "hint", "message"))


def test_the_courses_checks_have_points_of_their_own(failing_course: Run) -> None:
    score = failing_course.report["score"]["by_category"]["custom"]
    assert (score["earned"], score["possible"]) == pytest.approx((20 * 2 / 6, 20))
    assert failing_course.checks["course.requirement"]["points_possible"] == pytest.approx(10)


@pytest.mark.slow
def test_a_course_check_that_needs_a_failed_one_is_skipped(warm: Warm) -> None:
    run = warm.grade({"student.py": BROKEN, "test_course.py": FAILING}, "test_course.py")
    # It was asked before the checks it needs: then it speaks for itself.
    assert run.checks["course.assertion"]["outcome"] in {"failed", "skipped"}
    assert run.exit_code == 1
    assert not run.ids("error")


def test_without_a_student_they_are_skipped_with_the_reason(warm: Warm) -> None:
    run = warm.pytest("-ra", "-p", "no:cacheprovider", folder=warm.folder({"test_course.py": FAILING}))
    assert run.exit_code == 1  # the test that needs no student fails as any test does
    assert "needs a submission: --attn-student=my_attention" in run.stdout
    assert "1 failed, 2 passed, 2 skipped" in run.stdout
    assert "attention grader" not in run.stdout


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('id="a"', "attn_check takes the keywords id, title"),
        ('id="a", title="b", category="masks"', "category='masks'"),
        ('id="contract.call", title="b"', "'contract.call' is taken by test_course.py::test_a"),
    ],
    ids=["no title", "unknown category", "taken"],
)
def test_a_marker_that_cannot_be_used(marker: str, words: str, warm: Warm) -> None:
    course = f"import pytest\n@pytest.mark.attn_check({marker})\ndef test_a(): pass\n"
    run = warm.grade({"student.py": REFERENCE, "test_course.py": course}, "test_course.py")
    run.assert_ungradable(4, words)
    assert "ERROR: " in run.stderr


@pytest.mark.slow
def test_a_course_file_that_cannot_be_collected(warm: Warm) -> None:
    run = warm.grade({"student.py": REFERENCE, "test_course.py": "def broken(:\n"}, "test_course.py")
    assert (run.exit_code, run.verdict) == (2, "ungradable")
    assert run.report["reason"] == "test_course.py could not be collected"
