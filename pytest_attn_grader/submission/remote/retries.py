"""Whether it is worth calling a submission in another way. Standard library only."""

from __future__ import annotations

from pytest_attn_grader.sandbox.exit_reasons import WIRE_REMEDY


def another_call_may_answer(name: str, remedy: str) -> bool:
    """Whether a failure leaves open that another way of calling the submission gives an answer.

    Not after one that ended the worker: the next call would end the next worker, and each costs its start.
    """
    return name in {"raised", "malformed-reply"} and remedy != WIRE_REMEDY
