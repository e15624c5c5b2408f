"""Other ways to call the same attention: in training, without weights or mask, with `is_causal`, a scale, …"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from pytest_attn_grader.attention.probes import (
    SPEC_BY_NAME,
    Probe,
    ProbeResult,
    build_probe,
    in_train_mode,
    without_gradients,
)
from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.contract import Contract
from pytest_attn_grader.submission.function_attention import OTHER_SCALE
from pytest_attn_grader.submission.parameter_names import CAUSAL_FLAGS, SCALES
from pytest_attn_grader.submission.student_attention import StudentAttention

if TYPE_CHECKING:
    from pytest_attn_grader.grading.session import GradingSession

_FORMULA = "softmax(query @ key.T / sqrt(head_dim)) @ value"
_SWITCHES = frozenset(flag for flag in CAUSAL_FLAGS if "causal" in flag)
# Not one that compares it with another tensor's dtype, to convert it.
_TELLS_MASKS_APART = re.compile(r"mask\w*\.dtype\s*(?:[=!]=|is\b|in\b|not\b)(?!\s*[\w.]+\.dtype\b)|is_floating_point\(")
_NOTHING = "the function returned None"


@dataclass(frozen=True)
class CallOption:
    """A way to call an attention that is not the usual one.

    Attributes:
        words: what is special, as a part of a sentence.
        hint: where to look if the output is wrong.
        run: puts a probe to a submission in this way; NotApplicable where the submission has no such way.
        expected: what is computed then.
    """

    words: str
    hint: str
    run: Callable[[StudentAttention, Probe], Observation]
    expected: str = f"{_FORMULA}, as otherwise"


def observe_call_option(session: GradingSession, option: str) -> Observation:
    """Put a probe to the submission, called in another way than usual; the same one only once.

    Args:
        option: a key of `CALL_OPTIONS`.

    Raises:
        NotApplicable: the submission has no such way; the message says why.
    """
    if option not in session.observations:
        attention = session.submission.attention
        is_unpadded = option in {"without-mask", "causal-switch"} or not attention.contract.takes_mask
        # Padding on the left shows in a causal model; a usual call that is wrong there is judged by `masking.padding`.
        names = ["unpadded"] if is_unpadded else ["left-padding", "basic"]
        usual = [session.run_probe(name) for name in names]
        probe = next((each for each in usual if each.is_right), usual[-1]).probe
        with session.clock.phase("probes"):
            session.observations[option] = CALL_OPTIONS[option].run(attention, without_gradients(probe))
    return session.observations[option]


def failure_without_mask(attention: StudentAttention, seed: int) -> Failure | None:
    """The failure of a call that leaves an optional mask out and gets None back; None where it gets anything else."""
    contract = attention.contract
    if not contract.has_optional_mask:
        return None
    probe = without_gradients(build_probe(SPEC_BY_NAME["unpadded"], seed=seed))
    failure = replace(attention, contract=contract.without_role("mask")).run_probe(attention.prepare(probe)).failure
    if failure is None or _NOTHING not in failure.message:
        return None
    return failure.model_copy(update={"message": f"called without a mask, {failure.message}"})


def _unused_parameter(contract: Contract, names: Collection[str], *, default: str) -> str | None:
    """The parameter of one of these names, with this default, that the usual call leaves out."""
    taken = {slot.parameter for slot in contract.slots}
    return next(
        (
            each.name
            for each in contract.candidate.called.parameters
            if each.name.lower() in names and each.default == default and each.name not in taken
        ),
        None,
    )


def _ask(attention: StudentAttention, contract: Contract, probe: Probe, called: str) -> ProbeResult:
    result = replace(attention, contract=contract).run_probe(probe)
    if result.failure is not None:
        raise NotApplicable(f"{called} it gives no answer: {result.failure.message}")
    return result


def _run_training(attention: StudentAttention, probe: Probe) -> Observation:
    if not attention.contract.has_training_switch:
        raise NotApplicable("it has no training mode")
    probe = in_train_mode(probe, 0.0)
    observation = Observation(probe, attention.run_probe(probe))
    if observation.student.failure is None and not observation.is_right:
        again = attention.run_probe(replace(probe, seed=probe.seed + 1)).attn_output
        if again is None or observation.error_between(again, observation.attn_output) > 0:
            raise NotApplicable("it drops at random also where the probability of dropout is 0")
    return observation


def _run_without_weights(attention: StudentAttention, probe: Probe) -> Observation:
    contract = attention.contract
    if "return_weights" not in contract.roles:
        raise NotApplicable("it has no parameter that asks for its weights")
    unasked = contract.with_other_roles({"return_weights": "off"})
    return Observation(probe, replace(attention, contract=unasked).run_probe(probe))


def _run_without_mask(attention: StudentAttention, probe: Probe) -> Observation:
    """Without a mask an attention may hide the future or nothing: the reference is the one that it is meant to be."""
    if not attention.contract.has_optional_mask:
        raise NotApplicable("it has no optional mask")
    result = _ask(attention, attention.contract.without_role("mask"), probe, "without its mask")
    everything = replace(probe, keep_mask=torch.ones_like(probe.keep_mask), full_keep_mask=None, sliding_window=None)
    meanings = [Observation(each, result) for each in (probe, _sees_the_past(probe), everything)]
    right = [each for each in meanings if each.is_right]
    if right:
        return right[0]
    # The first query of an attention that hides the future has one key.
    first, value = meanings[0].attn_output[:, :, 0], probe.value[:, :, 0]
    hides_future = first.shape == value.shape and torch.allclose(first, value, atol=1e-3)
    return meanings[1 if hides_future else 2]


def _run_causal(attention: StudentAttention, probe: Probe) -> Observation:
    contract = attention.contract
    switch = _unused_parameter(contract, _SWITCHES, default="False")
    if switch is None or not contract.has_optional_mask:
        raise NotApplicable("it has no switch for the future beside an optional mask")
    switched = contract.without_role("mask").with_role("causal", switch)
    past = _sees_the_past(probe)
    return Observation(past, _ask(attention, switched, past, f"with {switch}=True"))


def _run_other_mask(attention: StudentAttention, probe: Probe) -> Observation:
    """A submission that asks for its mask's dtype takes True and False, and numbers too: 0 and -inf, or 1 and 0."""
    contract = attention.contract
    if "mask" not in contract.roles or not _TELLS_MASKS_APART.search(attention.student.target.source.text):
        raise NotApplicable("it does not ask for the dtype of its mask")
    others = [("keep", False), ("blocked", False)]
    if contract.mask_convention != "additive":
        others = [("additive", False), (contract.mask_convention, True)]
    observations = [
        Observation(probe, replace(attention, contract=variant).run_probe(probe))
        for convention, is_numeric in others
        for variant in [replace(contract, mask_convention=convention, is_mask_numeric=is_numeric)]
    ]
    answered = [each for each in observations if each.student.failure is None]
    if not answered:
        raise NotApplicable("it refuses masks of another dtype")
    return next((each for each in answered if each.is_right), answered[0])


def _run_scale(attention: StudentAttention, probe: Probe) -> Observation:
    """Pass a scale, which is a factor, as in scaled_dot_product_attention, or a divisor."""
    contract = attention.contract
    scale = _unused_parameter(contract, SCALES, default="None")
    if contract.kind != "function" or scale is None:
        raise NotApplicable("it has no optional parameter for the scale")
    result = _ask(attention, contract.with_role("scale", scale), probe, f"with {scale}={OTHER_SCALE}")
    root = probe.query.shape[-1] ** 0.5
    meanings = [
        Observation(replace(probe, query=probe.query * (factor * root)), result)
        for factor in (OTHER_SCALE, 1 / OTHER_SCALE)
    ]
    return next((each for each in meanings if each.is_right), meanings[0])


def _sees_the_past(probe: Probe) -> Probe:
    keep_mask = causal_keep_mask(*probe.keep_mask.shape[-2:]).expand_as(probe.keep_mask).clone()
    return replace(probe, keep_mask=keep_mask, full_keep_mask=None, sliding_window=None)


CALL_OPTIONS: Mapping[str, CallOption] = {
    "training": CallOption(
        "in training, with dropout 0", "what stands under `if self.training`: only dropout belongs there", _run_training
    ),
    "without-weights": CallOption(
        "where its weights are not asked for",
        "what stands under the parameter that asks for the weights: it changes what is returned only",
        _run_without_weights,
    ),
    "without-mask": CallOption(
        "without a mask",
        "what stands under `if mask is not None`: only the masking belongs there",
        _run_without_mask,
        f"{_FORMULA}, over all tokens or over those up to each query",
    ),
    "causal-switch": CallOption(
        "without a mask and with its switch for the future on",
        "what stands under the switch: a position sees itself and what comes before it: tril, diagonal 0",
        _run_causal,
        f"{_FORMULA}, over the tokens up to each query",
    ),
    "other-mask": CallOption(
        "with a mask of another dtype",
        "what stands under the question for the dtype of the mask: True may attend, and numbers are added",
        _run_other_mask,
    ),
    "scale": CallOption(
        "with a scale that is passed",
        "where the parameter is used: it replaces 1/sqrt(head_dim), and is not left out or used beside it",
        _run_scale,
        "softmax(query @ key.T * scale) @ value",
    ),
}
