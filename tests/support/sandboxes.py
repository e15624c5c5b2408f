"""For tests of sandboxes, whether their workers are started or forked."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pytest_attn_grader.sandbox import bubblewrap

needs_bwrap = pytest.mark.skipif(
    bool(bubblewrap.unavailable_reason()), reason=bubblewrap.unavailable_reason() or "it works"
)
# The beginning of a submission that tries what it may not.
TRIED = """
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"
"""


def left_in(folder: Path | str) -> list[psutil.Process]:
    """The processes that stand in this folder."""
    return [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder)]
