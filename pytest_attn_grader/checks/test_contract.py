"""Checks that the submission imports, has something to grade and answers a call."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe


@pytest.mark.attn_check(id="contract.import", title="the submission can be imported")
def test_import(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    attn_evidence.require_answer(attn_session.submission.import_failure, expected="a module that Python can import")
    attn_evidence.record(files=list(attn_session.submission.process.description.files))


@pytest.mark.attn_check(
    id="contract.target", title="there is a function that takes query, key and value", needs=("contract.import",)
)
def test_target(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    attn_evidence.require_answer(
        attn_session.submission.contract_failure,
        expected="attention(query, key, value, mask=None) -> attn_output or (attn_output, attn_weights)",
    )
    attn_evidence.record(signature=attn_session.submission.contract.candidate.signature)


@pytest.mark.attn_check(id="contract.call", title="it answers a first call", needs=("contract.target",))
def test_call(attn_session: GradingSession, attn_evidence: Evidence, attn_observe: Observe) -> None:
    attn_evidence.require_answer(attn_session.submission.call_failure, expected=_first_call(attn_session))
    observation = attn_observe("basic")
    attn_evidence.require_answer(
        attn_session.submission.maskless_failure, expected="an answer to a call without a mask as well"
    )
    attn_evidence.record(
        seconds=observation.student.seconds,
        weights_returned=observation.student.weights_returned,
        adaptations=[adaptation.name for adaptation in attn_session.submission.attention.adaptations],
    )


def _first_call(attn_session: GradingSession) -> str:
    """Describe the arguments of a submission's first call."""
    contract = attn_session.submission.contract
    mask = " and a mask" if contract.takes_mask else ""
    if contract.kind == "function":
        return f"an answer to tensors (3, 5, 10, 64){mask}"
    return f"an answer to hidden states (batch, seq, width){mask}: three texts of one token, then of several"


@pytest.mark.attn_check(
    id="contract.own-work", title="attention is computed, not borrowed from a library", needs=("contract.call",)
)
def test_own_work(attn_session: GradingSession, attn_evidence: Evidence, attn_observe: Observe) -> None:
    attn_observe("basic")
    calls = attn_session.submission.process.library_calls
    forbidden = attn_session.settings.forbid
    attn_evidence.record(library_calls=dict(calls), forbidden=list(forbidden))
    expected = "an attention that you wrote: this course does not allow " + ", ".join(forbidden)
    used = _matching(calls, forbidden)
    attn_evidence.check(
        not used,
        expected=expected,
        actual="your code calls " + ", ".join(f"{name} ({calls[name]} times)" for name in used),
        hint="compute scores, softmax and the weighted sum yourself",
    )
    if not forbidden:
        return
    scan = attn_session.submission.process.scan_library()
    named = _matching(scan.named, forbidden)
    attn_evidence.record(named_in_source=named, hidden_by=list(scan.hidden_by))
    attn_evidence.check(
        not (named and scan.hidden_by),
        expected=expected,
        actual=f"no call was counted, but your file names {', '.join(named)}, and a call of it could be hidden by "
        + ", ".join(scan.hidden_by),
        hint="remove one of the two; compute scores, softmax and the weighted sum yourself",
    )


def _matching(names: Iterable[str], forbidden: Collection[str]) -> list[str]:
    """Those that are forbidden, by their full name or the last part of it."""
    return sorted(name for name in names if name in forbidden or name.rpartition(".")[2] in forbidden)
