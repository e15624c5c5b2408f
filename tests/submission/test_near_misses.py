"""Submissions that almost fit: each must get the message that names the cause and the smallest change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.errors import AttnGraderError, SubmissionError
from pytest_attn_grader.submission.adapt import fit

if TYPE_CHECKING:
    from tests.support.students import Workshop

NEAR_MISSES = sorted((Path(__file__).parents[1] / "submissions" / "near_misses").glob("*.py"))


@pytest.mark.parametrize("file", NEAR_MISSES, ids=[file.stem for file in NEAR_MISSES])
def test_the_message_names_the_cause(workshop: Workshop, file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    wanted = re.search(r"^# message: (.+)$", source, re.MULTILINE)
    assert wanted is not None
    chosen = re.search(r"# chosen with :(\w+)", source)
    student = workshop.student(source, name=None if chosen is None else chosen[1])
    with pytest.raises(AttnGraderError) as caught:
        fit(student, student.contract, seed=1)
    said = str(caught.value)
    if isinstance(caught.value, SubmissionError):
        said = f"{caught.value.message} {caught.value.remedy}"
    assert re.search(wanted[1], said), said
