"""Run the reference's model in a thread while the student's model waits for the worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Reference = TypeVar("Reference")
Student = TypeVar("Student")

# The operations of smaller models are so short that two threads only take turns at Python's lock.
MIN_PARAMETERS = 20_000_000


def run_concurrently(
    model: Any, reference: Callable[[], Reference], student: Callable[[], Student]
) -> tuple[Reference, Student]:
    """Call both and return both results; for a large model on the CPU, the reference runs in a second thread.

    Args:
        model: both models share their parameters with it.
        reference: calls no submission.
        student: called in this thread; its exception is raised once the reference has ended.
    """
    if model.device.type != "cpu" or model.num_parameters() < MIN_PARAMETERS:
        return reference(), student()
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(reference)
        student_result = student()
        return future.result(), student_result
