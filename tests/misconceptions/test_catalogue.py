"""The catalogue as a whole: complete, consistent, and readable."""

from __future__ import annotations

import inspect

import pytest

from pytest_attn_grader.attention.probes import PROBE_SPECS, InProcessAttention, Probe
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.misconceptions import FAMILIES, MISCONCEPTIONS, Misconception, explain, find_misconception
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import StagedAttention, StageOverride

PROBE_NAMES = {spec.name for spec in PROBE_SPECS} | {"basic-again", "basic-eval", "basic-train"}
each_mistake = pytest.mark.parametrize("known", MISCONCEPTIONS, ids=lambda known: known.slug)


def test_ids_and_slugs_are_unique():
    for names in ([known.id for known in MISCONCEPTIONS], [known.slug for known in MISCONCEPTIONS]):
        assert len(set(names)) == len(names)


@each_mistake
def test_every_mistake_says_everything(known: Misconception):
    assert known.family in FAMILIES
    assert known.probe in PROBE_NAMES
    # "Your attention equals one that ..." must read as a sentence.
    assert known.title[0].islower()
    assert not known.title.endswith(".")
    assert len(known.explanation.split()) > 20
    assert known.hints.explain == known.explanation
    assert {"Bad:", "Good:"} <= set(known.hints.fix.splitlines())
    for text in (known.effect, known.hints.nudge, known.hints.fix):
        assert text.strip()


@each_mistake
def test_the_nudge_does_not_give_the_answer_away(known: Misconception):
    fix = known.hints.fix.partition("\n")[0]
    assert known.hints.nudge not in fix
    assert fix not in known.hints.nudge


@each_mistake
def test_look_alikes_know_each_other(known: Misconception):
    assert known.slug not in known.look_alikes
    for slug in known.look_alikes:
        assert known.slug in find_misconception(slug).look_alikes


@each_mistake
def test_every_stage_exists(known: Misconception):
    fields = set(inspect.signature(StagedAttention).parameters)
    for change in known.changes:
        assert change.stages.keys() <= fields
        assert change.stages


@each_mistake
def test_explain_is_the_docstring(known: Misconception):
    text = explain(known.id)
    assert text == explain(known.slug.upper())
    assert text.startswith(f"{known.id} {known.slug}: an attention that {known.title}")
    assert known.text.partition("\n")[2] in text


def test_an_unknown_name_gets_close_matches():
    with pytest.raises(UsageError, match=r"no misconception 'scale-dq'. Did you mean scale-dk"):
        explain("scale-dq")
    with pytest.raises(UsageError, match=r"There are merge-conflict, .*undefined-name, .*fp16-1e9\."):
        explain("zzzzzz")


def test_a_docstring_without_a_section_is_refused():
    def stage() -> None:
        """does something.

        Because.

        Bad:
            x
        Good:
            y
        Effect: none.
        Nudge: look.
        """

    with pytest.raises(ValueError, match="made-up: the docstring lacks Fix"):
        misconception("AG999", "made-up", replaces="scale", family="scale")(stage)


def test_an_unknown_family_is_refused():
    stage = inspect.unwrap(find_misconception("no-scale").changes[0].stages["scale"])
    with pytest.raises(ValueError, match="made-up: 'scales' is no family; there are broken, "):
        misconception("AG999", "made-up", replaces="scale", family="scales")(stage)


def test_the_pipeline_without_a_mistake_is_the_reference(probes: dict[str, Probe], yardsticks):
    for name in ("basic", "left-padding", "long", "decode"):
        record = InProcessAttention(StagedAttention()).run_probe(probes[name])
        reference, tolerance = yardsticks[name]
        rows = probes[name].real_rows
        for field in ("attn_output", "attn_weights"):
            candidate_rows, student_rows = (getattr(each, field).transpose(1, 2)[rows] for each in (record, reference))
            assert float((candidate_rows.double() - student_rows).abs().max()) <= tolerance.tolerance[field]


def test_two_mistakes_in_one_stage_exclude_each_other():
    one, other = find_misconception("no-scale").changes[0], find_misconception("scale-dk").changes[0]
    assert one.combine(other) is None


def test_two_mistakes_before_the_scores_follow_one_another():
    order: list[str] = []

    def note(name: str) -> StageOverride:
        return StageOverride({"prepare": lambda inputs: (order.append(name), inputs)[1]}, name)

    joined = note("first").combine(note("second"))
    assert joined is not None
    assert joined.note == "first; second"
    joined.stages["prepare"](None)
    assert order == ["first", "second"]
