"""How often the worker is asked: on a busy machine every question waits for its turn, so few make a run fast."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from tests.support.accepted import ACCEPTED
from tests.support.checks import session_over

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop


@pytest.mark.parametrize(
    ("name", "heads_a_call"), [("function/tutorial", 4), ("module/nanogpt", 4), ("module/single_causal", 1)]
)
def test_a_run_asks_seldom(
    workshop: Workshop, mini: LoadedModel, monkeypatch: pytest.MonkeyPatch, name: str, heads_a_call: int
) -> None:
    session = session_over(workshop.student((ACCEPTED / f"{name}.py").read_text(encoding="utf-8")), mini)
    _ = session.submission.attention
    asked: Counter[str] = Counter()
    request = WorkerProcess.request

    def counting(self: WorkerProcess, header: dict[str, Any], *args: Any, **keywords: Any) -> Any:
        asked[header["op"]] += 1
        return request(self, header, *args, **keywords)

    monkeypatch.setattr(WorkerProcess, "request", counting)
    calls = 4 // heads_a_call
    assert session.run_gradcheck().message == ""
    gradcheck = asked.copy()
    assert gradcheck["call"] <= 10 * calls
    assert gradcheck["backward"] <= 8 * calls
    _ = session.comparison
    assert (asked - gradcheck)["call"] <= 40 * calls
    # Instances are made once, and what is in them is looked up once.
    assert asked["construct"] == asked["parameters"] <= 2
