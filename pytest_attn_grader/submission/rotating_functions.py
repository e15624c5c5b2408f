"""A function that rotates query and key itself, by tables that it takes: which rotation it is, found by trial."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_attn_grader.attention.rotation import BASE, Rotation
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.function_ranks import fit_function
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.rotary import find_rotation, table_styles

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student

_HEADS, _HEAD_DIM = 4, 64


def fit_rotating_function(
    student: Student, contract: Contract, *, seed: int, in_causal_model: bool
) -> FunctionAttention:
    """Find the form of the tables and the rotation; query and key are then passed rotated backwards.

    Where no rotation is found, what it does with its tables is wrong, and it is graded as if it rotated as most do.

    Raises:
        SubmissionError: it gives no answer with tables of any form; the failure is that of the most usual one.
    """
    answered: FunctionAttention | None = None
    first_failure: SubmissionError | None = None
    for style in table_styles(contract.roles, BASE):
        tried = replace(contract, tables=style)
        try:
            attention = fit_function(student, tried, seed=seed, in_causal_model=in_causal_model)
        except SubmissionError as failure:
            if not another_call_may_answer(failure.name, failure.remedy):
                raise
            first_failure = first_failure or failure
            continue
        answered = answered or attention
        with contextlib.suppress(SubmissionError):
            if rotation := _rotation_of(attention, seed):
                return _rotated_backwards(attention, rotation, "because it rotates them")
    if answered is not None:
        return _rotated_backwards(answered, Rotation("halves", BASE), "as if it rotated them: no rotation was found")
    assert first_failure is not None  # there is at least one style
    raise first_failure


def _rotation_of(attention: FunctionAttention, seed: int) -> Rotation | None:
    def attend(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        return attention.attend(query, key, value, keep_mask).attn_output

    return find_rotation(attend, _HEADS, _HEAD_DIM, seed)


def _rotated_backwards(attention: FunctionAttention, rotation: Rotation, why: str) -> FunctionAttention:
    note = ("rotary-tables", f"{attention.contract.tables}; query and key are passed rotated backwards, {why}")
    contract = replace(attention.contract, rotation=rotation)
    return replace(attention, contract=contract, notes=(*attention.notes, note))
