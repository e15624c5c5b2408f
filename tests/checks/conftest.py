"""Put one check to one submission, without a whole run: milliseconds instead of seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.checks import PASSED, session_over
from tests.support.checks import ask as ask_check
from tests.support.students import Workshop

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.models.types import LoadedModel

Ask = Callable[..., "str | None"]

# Every line of it can be replaced by a wrong one.
LINES = {
    "signature": "def attention(query, key, value, mask=None):",
    "scale": "scale = 1 / math.sqrt(query.shape[-1])",
    "scores": "scores = query @ key.transpose(-2, -1) * scale",
    "mask": "scores = scores if mask is None else scores.masked_fill(~mask, float('-inf'))",
    "softmax": "weights = torch.softmax(scores, dim=-1)",
    "output": "output = weights @ value",
    "answer": "return output, weights",
}


def attention_with(**lines: str) -> str:
    """The source of a right attention, but for these lines."""
    assert lines.keys() <= LINES.keys()
    signature, *body = {**LINES, **lines}.values()
    return "import math\nimport torch\n\n" + "\n    ".join([signature, *body]) + "\n"


@pytest.fixture(scope="session")
def session_of(workshop: Workshop, mini: LoadedModel) -> Callable[[str], GradingSession]:
    """A grading session over a source text, in the shared model and the shared worker."""

    @cache
    def make(source: str) -> GradingSession:
        # It lives as long as the tests do, which share it: their time is not the run's.
        return session_over(workshop.student(source), mini, budget_seconds=3600.0)

    return make


@pytest.fixture(scope="session")
def ask(session_of: Callable[[str], GradingSession]) -> Ask:
    """`ask(check, side="left", scale="scale = 1")`: what came, or None when the check is satisfied.

    Keywords are the check's parameters, or lines of the right attention that are replaced.
    """

    def put(check: Callable[..., None], *, source: str | None = None, **keywords: Any) -> str | None:
        lines = {name: keywords.pop(name) for name in list(keywords) if name in LINES}
        session = session_of(attention_with(**lines) if source is None else source)
        said = ask_check(session, check, **keywords)
        return None if said == PASSED else said

    return put
