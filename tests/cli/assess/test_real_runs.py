"""Reports of real runs: their source is found again, and what is sent tells nobody's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pytest_attn_grader.cli.app import app
from tests.cli.assess.conftest import answer
from tests.support.llm_server import LlmServer, completion

if TYPE_CHECKING:
    from tests.support.runs import Warm

SOURCE = """
import torch
from parts import scores_of

def attention(query, key, value, mask=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
"""
PARTS = "def scores_of(query, key):\n    return query @ key.transpose(-2, -1)\n"


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_graded_submission_is_assessed_with_its_source(warm: Warm, serve: Callable[..., LlmServer]) -> None:
    run = warm.grade(
        {"quillfeather/quill.py": SOURCE, "quillfeather/parts.py": PARTS}, target="quillfeather/quill.py:attention"
    )
    criteria = run.report["evaluation"]["criteria"]
    assert "no-scale" in run.report["evaluation"]["mistakes"]
    kind = {criterion["category"]: {"level": "met", "feedback": "Well."} for criterion in criteria}
    server = serve(completion(answer(criteria=kind)))
    result = CliRunner().invoke(app, ["assess", str(run.report_path), "--llm-model=tiny"])
    assert (result.exit_code, result.stderr) == (0, "")
    kept = json.loads(run.report_path.with_name("report.assessment.json").read_text())
    assert (kept["source"]["files"], kept["source"]["matches_report"]) == (2, True)
    assert (kept["verdict"], kept["earned"]) == ("failed", run.report["score"]["earned"])
    assert [criterion["level"] for criterion in kept["criteria"]] == [criterion["level"] for criterion in criteria]
    (sent,) = server.requests
    assert "return query @ key.transpose(-2, -1)" in sent["messages"][1]["content"]
    assert "quill" not in json.dumps(sent)
