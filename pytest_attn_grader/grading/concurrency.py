"""Run the reference's model in a thread while the student's model waits for the worker."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from pytest_attn_grader._utils.fork_cache import cached

Result = TypeVar("Result")
# The operations of smaller models are so short that two threads only take turns at Python's lock.
MIN_PARAMETERS = 20_000_000


def run_with_both(
    name: Hashable, function: Callable[[Any, Tensor], Result], model: Any, student_model: Any, input_ids: Tensor
) -> tuple[Result, Result]:
    """Call a function of a model and tokens with the reference's model and with the student's; return both results.

    For a large model on the CPU, the reference runs in a second thread.

    Args:
        name: of the function and of what else it depends on; in a class, the reference's result is kept under it.
        input_ids: ``(1, tokens)``.

    Raises:
        SubmissionError: the student's model gave no answer; raised once the reference has ended.
    """
    known = (name, *input_ids[0].tolist())
    reference = partial(cached, known, partial(function, model, input_ids), owner=model)
    if model.device.type != "cpu" or model.num_parameters() < MIN_PARAMETERS:
        return reference(), function(student_model, input_ids)
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(reference)
        student_result = function(student_model, input_ids)
        return future.result(), student_result
