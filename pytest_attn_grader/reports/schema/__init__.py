"""The JSON Schemas of what is written, made from the models themselves and shipped as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

SCHEMA_FILE = Path(__file__).parent / "report.schema.json"
PROGRESS_SCHEMA_FILE = Path(__file__).parent / "progress.schema.json"
ASSESSMENT_SCHEMA_FILE = Path(__file__).parent / "assessment.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_schema() -> dict[str, Any]:
    """The schema of the whole document: pytest-json-report's part, loosely, and `attn_grader`, strictly."""
    from pytest_attn_grader.results.report import SCHEMA_VERSION, GradeReport

    report = GradeReport.model_json_schema(mode="serialization")
    definitions = report.pop("$defs")
    return {
        "$schema": _DIALECT,
        "title": "pytest-attn-grader report",
        "description": f"Version {SCHEMA_VERSION} of the report that pytest --attn-report writes.",
        "type": "object",
        "required": ["created", "duration", "exitcode", "environment", "summary", "attn_grader"],
        "properties": {
            "created": {"type": "number", "description": "seconds since 1970"},
            "duration": {"type": "number", "description": "seconds"},
            "exitcode": {"type": ["integer", "null"]},
            "root": {"type": "string"},
            "environment": {"type": "object"},
            "summary": {"type": "object"},
            "collectors": {"type": "array"},
            "tests": {"type": "array"},
            "warnings": {"type": "array"},
            "attn_grader": report,
        },
        "$defs": definitions,
    }


def build_progress_schema() -> dict[str, Any]:
    """The schema of the file that `--attn-progress` keeps."""
    from pytest_attn_grader.reports.learner_progress import PROGRESS_VERSION, Progress

    words = f"Version {PROGRESS_VERSION} of a learner's progress, which pytest --attn-progress keeps."
    return _schema_of(Progress, "progress", words)


def build_assessment_schema() -> dict[str, Any]:
    """The schema of what `attn-grader assess` writes beside a report."""
    from pytest_attn_grader.results.assessment import ASSESSMENT_VERSION, Assessment

    words = f"Version {ASSESSMENT_VERSION} of an assessment, which attn-grader assess writes. All words in it are a "
    return _schema_of(Assessment, "assessment", words + "model's: plain text, never markup. Points are the report's.")


def _schema_of(model: type[BaseModel], name: str, description: str) -> dict[str, Any]:
    words = {"title": f"pytest-attn-grader {name}", "description": description}
    return {"$schema": _DIALECT, **model.model_json_schema(mode="serialization"), **words}


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "report": build_schema,
    "progress": build_progress_schema,
    "assessment": build_assessment_schema,
}


def schema_text(of: str = "report") -> str:
    """A schema as it is shipped."""
    return json.dumps(SCHEMAS[of](), indent=1, sort_keys=True) + "\n"
