"""Compare two outputs of the student on inputs that must, or must not, make a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

# Weights that differ by less are the same, and a weight below it is none.
EXACT = 1e-6
ROUGHLY = 1e-3


def observe_long_text(session: GradingSession, observe: Observe, evidence: Evidence, probe: str) -> Observation:
    """Put a long text to the student; a module that takes no text of this length has a limit, which is no fault.

    Raises:
        NotApplicable: it gives no answer; the message says why.
    """
    if session.submission.contract.kind == "function":
        return observe(probe)
    return observe_where_answered(observe, evidence, probe, otherwise="it takes no {tokens} tokens")


def observe_where_answered(observe: Observe, evidence: Evidence, probe: str, *, otherwise: str) -> Observation:
    """Put a probe to the student that need not be answered.

    Args:
        otherwise: why the check does not apply without an answer, with ``{tokens}`` for the number of keys.

    Raises:
        NotApplicable: it gives no answer; the message says why.
    """
    observation = observe(probe, tolerate_failure=True)
    failure = observation.student.failure
    if failure is not None:
        why = otherwise.format(tokens=observation.probe.key.shape[-2])
        evidence.not_applicable(f"{why}: {failure.message}")
    return observation


def check_same_output(
    evidence: Evidence,
    before: Observation,
    after: Observation,
    *,
    expected: str,
    hint: str,
    actual: str = "the output moved by {change}",
    until: int | None = None,
) -> None:
    """Fail the check when the output of one probe differs from that of another by more than rounding.

    Args:
        actual: the message, with ``{change}`` for the largest difference.
        until: compare the tokens before this one only.
    """
    same_shape = after.attn_output.shape == before.attn_output.shape
    change = before.error_between(after.attn_output, before.attn_output, until=until) if same_shape else float("inf")
    tolerance = before.tolerance.tolerance["attn_output"]
    evidence.record(largest_change=change, tolerance=tolerance)
    evidence.check(
        change <= tolerance, expected=expected, actual=actual.format(change=format_number(change)), hint=hint
    )


def is_lowest_where_masked(observation: Observation) -> bool:
    """Whether the masked keys of every judged row share one weight, and no kept key has a smaller one."""
    from pytest_attn_grader.attention.probes import real_rows

    probe, weights = observation.probe, observation.student_weights  # (rows, num_heads, key_len)
    keep = real_rows(probe.keep_mask.expand(observation.attn_weights.shape), probe)
    highest_masked = weights.masked_fill(keep, float("-inf")).amax(-1)
    lowest_masked = weights.masked_fill(keep, float("inf")).amin(-1)
    lowest_kept = weights.masked_fill(~keep, float("inf")).amin(-1)
    is_lowest = (highest_masked - lowest_masked <= EXACT) & (highest_masked <= lowest_kept + EXACT)
    return bool(is_lowest[(~keep).any(-1)].all())


def has_weights_without_padding(observation: Observation) -> bool:
    """Whether the weights are the right ones for a mask that leaves the padding in."""
    from pytest_attn_grader.attention.probes import ignore_padding, max_abs_error
    from pytest_attn_grader.attention.reference import reference_attention

    probe = observation.probe
    query, key, value = (tensor.double() for tensor in (*probe.prepared, probe.value))
    _, unpadded = reference_attention(query, key, value, ignore_padding(probe).keep_mask)
    return max_abs_error(observation.attn_weights, unpadded, probe) < ROUGHLY
