from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from pytest_attn_grader.reports.schema import ASSESSMENT_SCHEMA_FILE, schema_text
from pytest_attn_grader.results.assessment import ASSESSMENT_VERSION, assessment_path, is_assessment, load_assessment


def test_the_shipped_schema_is_the_model_s() -> None:
    assert ASSESSMENT_SCHEMA_FILE.read_text(encoding="utf-8") == schema_text("assessment")
    schema = json.loads(schema_text("assessment"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert ASSESSMENT_VERSION in schema["description"]
    parts = [schema, *(part for part in schema["$defs"].values() if part.get("type") == "object")]
    assert all(part["additionalProperties"] is False for part in parts)


def test_a_model_has_no_place_for_points() -> None:
    """Points are numbers, and every number of an assessment is the report's, the client's or a size."""
    schema = json.loads(schema_text("assessment"))
    numbers = {
        name
        for part in (schema, *schema["$defs"].values())
        for name, field in part.get("properties", {}).items()
        if '"number"' in json.dumps(field) or '"integer"' in json.dumps(field)
    }
    sizes = {"files", "characters", "characters_shown", "tries", "prompt", "completion", "total"}
    assert numbers == {"earned", "possible"} | sizes


@pytest.mark.parametrize(
    ("report", "beside"),
    [("a.json", "a.assessment.json"), ("a", "a.assessment.json"), ("a.b.json", "a.b.assessment.json")],
)
def test_the_place_is_beside_the_report(report: str, beside: str) -> None:
    assert assessment_path(Path("x") / report) == Path("x") / beside


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("a.assessment.json", '{"assessment_version": "9.9"}', True),
        ("a.assessment.json", '{"attn_grader": {}}', False),
        ("a.assessment.json", "[" * 100_000, False),
        ("a.assessment.json", "[]", False),
        ("a.json", '{"assessment_version": "1.0"}', False),
    ],
)
def test_an_assessment_is_known_by_name_and_content(name: str, content: str, is_one: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert is_assessment(tmp_path / name) is is_one
    assert load_assessment(tmp_path / name) is None


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert not is_assessment(tmp_path / "a.assessment.json")
    assert load_assessment(tmp_path / "a.assessment.json") is None
