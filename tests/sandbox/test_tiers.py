"""Which tier is chosen, and why."""

from __future__ import annotations

import pytest

from pytest_attn_grader.errors import SandboxUnavailableError
from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.sandbox.tiers import choose_tier


@pytest.mark.parametrize(
    ("requested", "required", "broken", "chosen", "words"),
    [
        ("auto", None, "", "bwrap", "the strongest there is"),
        ("auto", None, "no namespaces", "process", "no namespaces"),
        ("auto", "bwrap", "", "bwrap", "the strongest there is"),
        ("auto", "process", "no namespaces", "process", "no namespaces"),
        ("process", None, "", "process", "asked for"),
        ("process", "process", "", "process", "asked for"),
        ("bwrap", None, "", "bwrap", "asked for"),
        ("none", None, "", "none", "uncontained"),
    ],
)
def test_the_tier_and_why(
    requested: str, required: str | None, broken: str, chosen: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "unavailable_reason", lambda: broken)
    tier = choose_tier(requested, required)
    assert tier.name == chosen
    assert words in tier.why


@pytest.mark.parametrize(
    ("requested", "required", "broken", "words"),
    [
        ("bwrap", None, "no namespaces", "--attn-sandbox=bwrap: no namespaces. Nothing was graded. Install bubblewrap"),
        ("auto", "bwrap", "no namespaces", "--attn-require-sandbox=bwrap: the submission would run in the sandbox"),
        ("process", "bwrap", "", "'process', which is weaker (asked for)"),
        ("none", "process", "", "'none', which is weaker"),
    ],
)
def test_nothing_weaker_takes_its_place(
    requested: str, required: str | None, broken: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "unavailable_reason", lambda: broken)
    with pytest.raises(SandboxUnavailableError) as caught:
        choose_tier(requested, required)
    assert words in str(caught.value)
