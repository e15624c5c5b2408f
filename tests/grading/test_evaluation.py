from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.grading.evaluation import CRITERION_DESCRIPTIONS, DESCRIPTORS
from pytest_attn_grader.results.report import CATEGORIES, Diagnosis, Evaluation, Level, ModelInfo, PromptInfo
from pytest_attn_grader.results.submission import Adaptation, Construction, Failure, StudentInfo
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import check, report_of, validate_report

if TYPE_CHECKING:
    from tests.support.runs import Warm


def evaluation_of(*outcomes: str) -> Evaluation:
    made = report_of(*(check(outcome) for outcome in outcomes)).evaluation
    assert made is not None
    return made


def test_every_category_and_level_has_words() -> None:
    assert set(CRITERION_DESCRIPTIONS) == set(CATEGORIES)
    assert set(DESCRIPTORS) == set(Level.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("outcomes", "level"),
    [
        (("passed",), "met"),
        (("passed", "not-applicable"), "met"),
        (("passed", "failed"), "partly"),
        (("passed", "skipped"), "partly"),
        (("failed", "skipped"), "not-met"),
        (("skipped",), "not-assessed"),
    ],
)
def test_levels(outcomes: tuple[str, ...], level: str) -> None:
    evaluation = evaluation_of(*outcomes)
    (criterion,) = evaluation.criteria
    assert criterion.level == level
    assert criterion.descriptor == DESCRIPTORS[level] == evaluation.levels[level]  # type: ignore[index]


def test_the_whole_scale_is_there_whatever_was_met() -> None:
    assert evaluation_of("passed").levels == DESCRIPTORS


def test_what_was_not_asked_is_counted() -> None:
    (criterion,) = evaluation_of("failed", "skipped", "skipped").criteria
    assert criterion.evidence[:2] == (
        "0 of 3 checks passed",
        "2 not run, because a check that they need did not pass",
    )


def test_what_cannot_be_asked_is_no_criterion() -> None:
    assert evaluation_of("not-applicable").criteria == ()


SECRET = "Ann Other, /home/ann/week3.py"
# What of a submission's description holds no words of the submission's.
WORDLESS = {"rank", "returns_weights", "width_adapter", "transformers_imported"}


def facts_about_ann() -> RunData:
    """Everything that a submission can say about itself says who wrote it."""
    student = StudentInfo(
        target=SECRET,
        name=SECRET,
        kind=SECRET,
        signature=SECRET,
        where=SECRET,
        sha256=SECRET,
        files=(SECRET,),
        mask_convention=SECRET,
        adaptations=(Adaptation(name=SECRET, why=SECRET),),
        constructed=(Construction(arguments={SECRET: SECRET}, config_read={SECRET: SECRET}),),
        restriction=SECRET,
        library_calls={SECRET: 1},
        captured_output=SECRET,
    )
    assert student.model_fields_set | WORDLESS == set(StudentInfo.model_fields), "a field is new: does it tell who?"
    return RunData(
        student=student,
        model=ModelInfo(requested=SECRET, source=SECRET),
        prompt=PromptInfo(text=SECRET, tokens=(SECRET,)),
        diagnosis=Diagnosis(slugs=("no-scale",), titles=("does not scale",), message=SECRET, hint=SECRET),
        environment={SECRET: SECRET},
    )


def test_evidence_is_numbers_and_nothing_that_a_submission_wrote() -> None:
    failed = check(
        "failed",
        "equivalence",
        expected=SECRET,
        actual=SECRET,
        hint=SECRET,
        message=SECRET,
        nodeid=SECRET,
        evidence={"output error": 0.123456, "heads": 4, "worst": "inf", "note": SECRET, "same": True, "l": [SECRET]},
        failure=Failure(name="raised", message=SECRET, remedy=SECRET, where=SECRET, traceback=SECRET),
    )
    report = report_of(check(), failed, facts=facts_about_ann(), settings=Settings(student=SECRET))
    validate_report(report)
    assert report.evaluation is not None
    assert SECRET in report.model_dump_json()
    assert SECRET not in report.evaluation.model_dump_json()
    assert "Ann" not in report.evaluation.model_dump_json()
    assert (report.evaluation.verdict, report.evaluation.mistakes) == ("failed", ("no-scale",))
    assert report.evaluation.mistake_titles == ("does not scale",)
    masking, equivalence = report.evaluation.criteria
    assert masking.evidence == ("1 of 1 checks passed",)
    assert equivalence.evidence == (
        "0 of 1 checks passed",
        "equivalence.x, a title (raised): output error 0.1235, heads 4, worst inf",
    )
    assert (equivalence.earned, equivalence.possible) == (0.0, 20.0)


@pytest.mark.slow
def test_a_real_run_does_not_tell_who_wrote_the_submission(warm: Warm) -> None:
    source = '''
"""Homework of Quillfeather."""
def quillfeather_attention(query, key, value, mask=None):
    print("quillfeather was here")
    raise ValueError(f"quillfeather cannot take {tuple(query.shape)}")
'''
    run = warm.grade({"quillfeather/quillfeather.py": source}, target="quillfeather/quillfeather.py")
    assert "quillfeather" in json.dumps(run.report["checks"])
    assert run.report["evaluation"]["criteria"]
    assert "quillfeather" not in json.dumps(run.report["evaluation"]).lower()
