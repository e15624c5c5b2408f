"""Work on the reference's model while the submission is asked in the student's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Reference = TypeVar("Reference")
Student = TypeVar("Student")

# Below this, a forward pass is made of operations so short that two threads only take turns at Python's lock.
LEAST_PARAMETERS = 20_000_000


def run_concurrently(
    model: Any, reference: Callable[[], Reference], student: Callable[[], Student]
) -> tuple[Reference, Student]:
    """Return what both give; of a large model on the CPU the reference's half is worked out in a thread of its own.

    Args:
        model: the one that both models share their parameters with.
        reference: calls no submission.
        student: called in this thread. What it raises comes through once the reference has ended.
    """
    if model.device.type != "cpu" or model.num_parameters() < LEAST_PARAMETERS:
        return reference(), student()
    with ThreadPoolExecutor(max_workers=1) as pool:
        other = pool.submit(reference)
        mine = student()
        return other.result(), mine
