from __future__ import annotations

import json

import jsonschema

from pytest_attn_grader.reports.schema import SCHEMA_FILE, build_schema, schema_text
from pytest_attn_grader.results.report import SCHEMA_VERSION


def test_the_shipped_file_is_the_schema() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()


def test_it_is_a_schema() -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert SCHEMA_VERSION in schema["description"]


def test_every_reference_leads_somewhere() -> None:
    schema = build_schema()
    wanted = {piece.split('"')[0] for piece in schema_text().split('"#/$defs/')[1:]}
    assert wanted <= set(schema["$defs"])
    assert {"CheckResult", "Comparison", "Diagnosis"} <= wanted


def test_our_part_is_strict_and_pytests_part_is_not() -> None:
    schema = build_schema()
    assert schema["properties"]["attn_grader"]["additionalProperties"] is False
    assert all(
        definition.get("additionalProperties") is False
        for definition in schema["$defs"].values()
        if definition.get("type") == "object"
    )
    assert "additionalProperties" not in schema
