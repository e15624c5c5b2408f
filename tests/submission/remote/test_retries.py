"""Another way of calling is tried where it costs no worker."""

from __future__ import annotations

import pytest

from pytest_attn_grader.sandbox.exit_reasons import WIRE_REMEDY
from pytest_attn_grader.submission.remote.retries import another_call_may_answer


@pytest.mark.parametrize(
    ("name", "remedy", "may"),
    [
        ("raised", "", True),
        ("malformed-reply", "Return a tensor.", True),
        ("malformed-reply", WIRE_REMEDY, False),
        ("crashed", "", False),
        ("timeout", "", False),
    ],
)
def test_another_call_is_tried_only_where_the_worker_lives(name: str, remedy: str, may: bool) -> None:
    assert another_call_may_answer(name, remedy) is may
