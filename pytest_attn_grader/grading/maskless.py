"""A call without a mask: a result that is returned only where there is one."""

from __future__ import annotations

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe, without_gradients
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.student_attention import StudentAttention

_NOTHING = "the function returned None"


def failure_without_mask(attention: StudentAttention, seed: int) -> Failure | None:
    """The failure of a call that leaves an optional mask out and gets None back; None where it gets anything else.

    What such a call should compute is open, as much code is causal by itself.
    """
    contract = attention.contract
    needed = {each.name for each in contract.candidate.called.parameters if not each.has_default}
    masks = [slot for slot in contract.slots if slot.role == "mask"]
    if contract.mask_convention == "none" or not masks or masks[0].parameter in needed:
        return None
    probe = without_gradients(build_probe(SPEC_BY_NAME["unpadded"], seed=seed))
    failure = attention.with_contract(contract.without_role("mask")).run_probe(attention.prepare(probe)).failure
    if failure is None or _NOTHING not in failure.message:
        return None
    return failure.model_copy(update={"message": f"called without a mask, {failure.message}"})
