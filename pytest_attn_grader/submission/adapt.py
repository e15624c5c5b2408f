"""From a contract to an attention that answers: what the signature leaves open is settled by trial."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import find_call_target, fit_length_function
from pytest_attn_grader.submission.function_ranks import fit_function
from pytest_attn_grader.submission.hidden_states import fit_hidden_states
from pytest_attn_grader.submission.norm_requirements import require_no_norms, require_rotation
from pytest_attn_grader.submission.parameter_names import TABLES
from pytest_attn_grader.submission.projections.find import SharedWeightsError
from pytest_attn_grader.submission.remote.retries import another_call_may_answer
from pytest_attn_grader.submission.rotating_functions import fit_rotating_function
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import (
    contract_variants,
    is_right,
    is_right_unpadded,
    is_written_for,
    source_adds_mask,
    source_takes_mask_of_ones,
)

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student import Student


# A model's that has no norms and no window: positions are rotated, in case that a module does it.
USUAL_STEPS = LayerSteps(rotary_base=BASE)


def fit(student: Student, contract: Contract, *, seed: int, steps: LayerSteps = USUAL_STEPS) -> StudentAttention:
    """The submission as an attention on query, key and value.

    A module that uses a function is left for it where the module cannot be called, or where it takes no mask and the
    function does: an encoder's module is wrong in a model that hides the future, and its function is not.

    Args: as those of `_fit_contract`.

    Raises:
        SubmissionError: as `_fit_contract`, of the first trial.
    """
    function = contract.of_function
    try:
        attention = _fit_in_other_ways(student, contract, seed=seed, steps=steps)
    except SharedWeightsError:
        raise
    except SubmissionError as failure:
        if function is None:
            raise
        why = f"could not be called: {failure.message}"
        with contextlib.suppress(SubmissionError):
            return _fit_function(student, contract, function, why, seed=seed, steps=steps)
        raise
    if function is None or contract.takes_mask or not function.takes_mask:
        return attention
    if not is_right_unpadded(attention, seed):
        with contextlib.suppress(SubmissionError):
            return _fit_function(student, contract, function, "takes no mask", seed=seed, steps=steps)
    return attention


def _fit_function(
    student: Student, module: Contract, function: Contract, why: str, *, seed: int, steps: LayerSteps
) -> StudentAttention:
    """The function that a module uses, which is graded in its place, with a note that says why."""
    note = f"{function.candidate.name} is graded: {module.candidate.name}, which uses it, {why}"
    noted = function.with_note("function-first", note)
    attention = _fit_in_other_ways(student, noted, seed=seed, steps=steps)
    student.grade_as(noted)
    return attention


def _fit_in_other_ways(student: Student, contract: Contract, *, seed: int, steps: LayerSteps) -> StudentAttention:
    """The same; where it fails, a padding mask is tried as a whole mask, and positions with a default are passed."""
    try:
        return _fit_contract(student, contract, seed=seed, steps=steps)
    except SubmissionError as failure:
        if contract.kind != "module" or not another_call_may_answer(failure.name, failure.remedy):
            raise
        for other in contract.others():
            with contextlib.suppress(SubmissionError):
                return _fit_contract(student, other, seed=seed, steps=steps)
        raise


def _fit_contract(student: Student, contract: Contract, *, seed: int, steps: LayerSteps) -> StudentAttention:
    """The same for one set of roles.

    Where neither the file nor an option settles the mask, and the boolean keep mask does not give the reference's
    numbers, a mask of ones and zeros and an additive one are tried: one of them is accepted when the numbers are right.

    Args:
        steps: of the graded model's layer, which a module takes itself.

    Raises:
        SubmissionError: it gives no answer in any of the ways that were tried; the failure is that of the first one. Or
            it rotates by positions and the model does not.
    """
    answered: StudentAttention | None = None
    answered_otherwise: StudentAttention | None = None
    first_failure: SubmissionError | None = None
    contract = _without_lengths(contract if steps.is_causal else contract.without_causal_switch())
    for variant in contract_variants(contract):
        try:
            attention = _as_answered(answered, variant) if answered else _fit(student, variant, steps, seed=seed)
        except SubmissionError as failure:
            if not another_call_may_answer(failure.name, failure.remedy):
                raise
            first_failure = first_failure or failure
            continue
        if variant is contract:
            if not contract.is_mask_settled and is_right(attention, seed):
                return require_rotation(attention, steps.rotary_base, seed)
            answered = attention
            continue
        has_right_output = is_right(attention, seed)
        is_additive = variant.mask_convention == "additive"
        if is_additive and source_takes_mask_of_ones(student, contract):
            continue
        if has_right_output and is_written_for(attention, seed):
            return require_rotation(attention, steps.rotary_base, seed)
        answered_otherwise = answered_otherwise or attention
        if is_additive and not has_right_output and source_adds_mask(student, contract):
            # It is wrong in any case. With a boolean mask it would be wrong about the mask as well.
            answered = attention
    if answered is not None or answered_otherwise is not None:
        require_no_norms(answered or answered_otherwise, seed)
    if answered is not None:
        return require_rotation(answered, steps.rotary_base, seed)
    assert first_failure is not None  # there is at least one variant
    raise first_failure


def _as_answered(answered: StudentAttention, variant: Contract) -> StudentAttention:
    """The same attention with another contract, but for what was found by trial."""
    found = answered.contract
    return replace(answered, contract=replace(variant, tables=found.tables, rotation=found.rotation))


def _without_lengths(contract: Contract) -> Contract:
    """Lengths are passed where queries and keys are separate; hidden states keep the parameter at its default."""
    takes_lengths = {"query", "key", "value"} <= contract.roles and "mask" not in contract.roles
    if "valid_lens" not in contract.roles or takes_lengths:
        return contract
    return contract.without_role("valid_lens")


def _fit(student: Student, contract: Contract, steps: LayerSteps, *, seed: int) -> StudentAttention:
    if contract.kind == "function" and "valid_lens" in contract.roles:
        return replace(fit_length_function(student, contract), in_causal_model=steps.is_causal)
    if contract.kind == "function" and TABLES & contract.roles:
        return fit_rotating_function(student, contract, seed=seed, in_causal_model=steps.is_causal)
    if contract.kind == "function":
        return fit_function(student, contract, seed=seed, in_causal_model=steps.is_causal)
    takes_all_three = contract.kind == "module" and {"query", "key", "value"} <= contract.roles
    if takes_all_three and _has_no_parameters(student, contract):
        return _fit(student, replace(contract, kind="function"), steps, seed=seed)
    attention = fit_hidden_states(student, contract, steps, seed=seed)
    rotation = attention.conventions.rotation
    if rotation is not None and steps.rotary_base is None:
        raise SubmissionError(
            "malformed-reply",
            f"{contract.candidate.name} has rotary positions ({rotation}), and this model adds positions itself.",
            remedy="Grade it in a model with rotary positions: --attn-model=mini-llama.",
        )
    return attention


def _has_no_parameters(student: Student, contract: Contract) -> bool:
    """Whether a module of query, key and value has no parameters: it is then called as a function."""
    module = student.module(find_call_target(student, contract.candidate))
    return not module.parameters and not module.unregistered
