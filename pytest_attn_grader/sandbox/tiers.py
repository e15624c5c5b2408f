"""Choose the sandbox tier: none, process or bwrap. Standard library only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, get_args

from pytest_attn_grader.errors import SandboxUnavailableError
from pytest_attn_grader.sandbox import bubblewrap

TierName = Literal["none", "process", "bwrap"]
STRENGTH: tuple[TierName, ...] = get_args(TierName)  # weakest first


@dataclass(frozen=True)
class Tier:
    """The tier of a run, and why it is this one."""

    name: TierName
    why: str


def choose_tier(requested: str, required: str | None = None) -> Tier:
    """Return the tier that was asked for, or with ``auto`` the strongest that works here; never ``none`` by itself.

    Args:
        requested: auto, bwrap, process or none.
        required: the weakest that will do.

    Raises:
        SandboxUnavailableError: it does not work here, or is weaker than required. A named tier is never replaced.
    """
    tier = _chosen(requested)
    if required is not None and STRENGTH.index(tier.name) < STRENGTH.index(required):
        raise SandboxUnavailableError(
            f"--attn-require-sandbox={required}: the submission would run in the sandbox {tier.name!r}, which is "
            f"weaker ({tier.why}). Nothing was graded. {_REMEDY}"
        )
    return tier


_REMEDY = "Install bubblewrap (package bubblewrap) on a Linux that lets you use namespaces, or ask for less."


def _chosen(requested: str) -> Tier:
    if requested == "none":
        return Tier("none", "asked for: the submission runs in the grading process, uncontained")
    if requested == "process":
        return Tier("process", "asked for")
    reason = bubblewrap.unavailable_reason()
    if requested == "bwrap":
        if reason:
            raise SandboxUnavailableError(f"--attn-sandbox=bwrap: {reason}. Nothing was graded. {_REMEDY}")
        return Tier("bwrap", "asked for")
    return Tier("process", reason) if reason else Tier("bwrap", f"the strongest there is on {sys.platform}")
