"""Run the probes of the diagnosis on a submission and name its mistake."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_attn_grader._utils.fork_cache import cached, is_enabled
from pytest_attn_grader.attention.probes import TRAIN_DROPOUT_P, Capabilities, Probe, ProbeResult, diagnosis_probes
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.call_options import CALL_OPTIONS, failure_without_mask
from pytest_attn_grader.misconceptions.diagnose import diagnose, diagnose_failure, predict_first
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.submission.function_attention import RANKS, FunctionAttention
from pytest_attn_grader.submission.hidden_states import unfitted_module
from pytest_attn_grader.submission.return_values import SWAP_REMEDY

if TYPE_CHECKING:
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.grading.student import StudentUnderTest
    from pytest_attn_grader.models.architectures import LayerSteps
    from pytest_attn_grader.results.report import Diagnosis
    from pytest_attn_grader.results.submission import Failure
    from pytest_attn_grader.submission.student_attention import StudentAttention

# After one of these failures the next probe would only reach its time limit too.
_FATAL_FAILURES = frozenset({"timeout", "out-of-memory", "crashed", "exited", "output-flood"})

# Probes whose length depends on the model, the shorter ones first.
_LONG_TEXTS = ("between-1", "between-2", "limit", "blocks")
# Less time is too short for a process that imports PyTorch first.
MIN_SECONDS = 5.0
# Of the budget, for everything that comes after the diagnosis.
REPORT_RESERVE_SECONDS = 2.0
# A probe with its gradients, in forward passes.
_BACKWARD = 3.0


def diagnose_session(session: GradingSession, predictions: PredictionCache | None) -> Diagnosis | None:
    """See `GradingSession.diagnose`."""
    submission, hints = session.submission, session.settings.hints
    source, failure = submission.target.source.text, submission.call_failure
    attention = unfitted_attention(submission, session.layer_steps()) if failure else submission.attention
    is_refused = failure is not None and (attention is None or attention.contract.kind != "function")
    named = diagnose_failure(failure, hints=hints, source=source) if failure else None
    if attention is None or (is_refused and named is not None):
        return named
    found = run_diagnosis(
        attention,
        seed=session.settings.seed,
        max_len=session.context_limit,
        hints=hints,
        sliding_window=session.layer_steps().sliding_window,
        predictions=predictions,
        observed=session.observations,
        seconds=session.seconds_left - REPORT_RESERVE_SECONDS,
        source=source,
        only_named=is_refused,
    )
    if found is None or not found.slugs or found.unexplained:
        mistake = _mistake_of_projections(session, is_wrong=found is not None)
        found = (diagnose_failure(mistake, hints=hints, source=source) if mistake else None) or found
    return named if named and not (found and found.slugs) else found  # where later calls were refused earlier


def _mistake_of_projections(session: GradingSession, *, is_wrong: bool) -> Failure | None:
    """Mistake that the call with random projections shows; the call is made here where another check fails first."""
    from pytest_attn_grader.grading.evidence import NotApplicable
    from pytest_attn_grader.grading.own_projections import observe_own_projections

    if is_wrong and session.submission.call_failure is None:
        with contextlib.suppress(NotApplicable, SubmissionError):
            observe_own_projections(session)
    return None if session.own_projections is None else session.own_projections.mistake


def unfitted_attention(submission: StudentUnderTest, steps: LayerSteps) -> StudentAttention | None:
    """Wrap a submission that answered no call, or was refused: its failures and numbers may still show its mistake.

    Returns:
        None when calling it again would only fail in the same way or take the same time.
    """
    failure = submission.call_failure
    if failure is None or submission.contract_failure is not None:
        return None
    student, contract = submission.process, submission.contract
    if failure.name in _FATAL_FAILURES or failure.remedy == SWAP_REMEDY:
        return None
    if contract.kind == "function":
        return FunctionAttention(student, contract, RANKS[0], in_causal_model=steps.is_causal)
    return unfitted_module(student, contract, steps)


def run_diagnosis(
    attention: StudentAttention,
    *,
    seed: int,
    max_len: int,
    hints: str,
    sliding_window: int | None = None,
    predictions: PredictionCache | None = None,
    observed: Mapping[str, Observation] | None = None,
    seconds: float = math.inf,
    source: str = "",
    only_named: bool = False,
) -> Diagnosis | None:
    """Diagnose a fresh instance of the submission: what earlier calls left behind may be the mistake.

    Args:
        max_len: the longest text of the model, in tokens.
        hints: how much help is given; see `diagnose`.
        sliding_window: of the model, in tokens; None for none.
        predictions: the catalogue's results on these probes, shared among submissions.
        observed: earlier observations of probes with the same names and inputs. Their references are used again, and
            their results where there is no time for new ones.
        seconds: wall clock that calls and search may take together.
        source: the submission's text; see `diagnose`.
        only_named: return nothing where no mistake is named, because the failure has a message that says more.
    """
    contract = attention.contract
    has_switch = attention.takes_dropout and contract.has_training_switch
    capabilities = Capabilities(
        max_len=max_len,
        takes_dropout=attention.takes_dropout,
        off_dropout_p=TRAIN_DROPOUT_P if has_switch else contract.default_dropout_p or None,
        takes_mask=contract.takes_mask,
        is_bidirectional=attention.is_bidirectional,
        preparation=attention.preparation,
        sliding_window=sliding_window,
    )
    deadline = time.perf_counter() + seconds
    probes = diagnosis_probes(seed, capabilities)
    by_name = {probe.name: probe for probe in probes}
    known = {probe.name: observed[probe.name] for probe in probes if observed and probe.name in observed}
    results = {name: observation.student for name, observation in known.items()}
    references = {name: each.reference for name, each in known.items() if each.tolerance_was_used}
    tolerances = {name: each.tolerance for name, each in known.items() if each.tolerance_was_used}
    predictions = predictions or cached("predictions", PredictionCache)
    convention, rotary_base = contract.mask_convention, attention.rotary_base
    diagnose_answers = partial(
        diagnose, mask_convention=convention, hints=hints, source=source, rotary_base=rotary_base
    )
    if results and seconds >= MIN_SECONDS and not is_enabled():
        # While the new process loads torch. In a class both are there already.
        predict_first(
            dict([next(iter(results.items()))]),
            by_name,
            references,
            tolerances,
            mask_convention=convention,
            rotary_base=rotary_base,
            predictions=predictions,
        )
    # The process ends while the search goes on.
    with ThreadPoolExecutor(1, thread_name_prefix="attn-grader-end") as pool:
        ending: list[Future[None]] = []
        try:
            attempts = _rerun_probes(attention, probes, results, seconds, lambda end: ending.append(pool.submit(end)))
        except SubmissionError:
            # A submission can fail when it is imported again: then its first answers are all there is.
            attempts = results

        def explain(more: Mapping[str, Observation]) -> Diagnosis | None:
            asked = by_name | {name: each.probe for name, each in more.items()}
            answers = attempts | {name: each.student for name, each in more.items()}
            return diagnose_answers(
                answers,
                {name: asked[name] for name in answers},
                references,
                tolerances,
                predictions=predictions,
                seconds=deadline - time.perf_counter(),
            )

        # A module may have a longest text; see `checks.outputs.observe_long_text`.
        long_texts = _failed_on_long_texts(observed or {}, attempts) if contract.kind == "function" else {}
        diagnosis = explain(long_texts)
        if diagnosis is None and (wrong := _wrong_on_long_texts(observed or {}, attempts)):
            diagnosis = explain(long_texts | wrong)
        for each in ending:
            each.result()
    for option in CALL_OPTIONS if diagnosis is None else ():
        if option == "scale":
            continue  # the check says that a parameter is not used as it should be; the scale itself is right
        if observed and option in observed and not observed[option].is_right:
            return _diagnose_call_option(option, observed[option], diagnose_answers)
    if diagnosis is None and (failure := failure_without_mask(attention, seed)) is not None:
        return diagnose_failure(failure, hints=hints, source=source)
    return None if only_named and diagnosis is not None and not diagnosis.slugs else diagnosis


def _diagnose_call_option(
    option: str, observation: Observation, diagnose_answers: Callable[..., Diagnosis | None]
) -> Diagnosis | None:
    """Name the mistake of a submission that is right as it is called usually, and wrong in this way."""
    output, shape = observation.student.attn_output, observation.probe.query.shape
    if output is not None and output.shape == shape:
        numbers = observation.student_output
        if not bool(numbers.isfinite().all()) or not bool(numbers.any()):
            return None  # on a single probe NaN, or zeros, fit many mistakes
    probe = replace(observation.probe, name=observation.probe.name.removesuffix("-train"), training=False)
    found = diagnose_answers({probe.name: observation.student}, {probe.name: probe})
    if found is None:
        return None
    words, message = CALL_OPTIONS[option].words, found.message
    return found.model_copy(update={"message": f"{words[0].upper()}{words[1:]}: {message[0].lower()}{message[1:]}"})


def _failed_on_long_texts(observed: Mapping[str, Observation], asked: Collection[str]) -> dict[str, Observation]:
    """Two of the long texts that raised and that the diagnosis does not ask about: two lengths show a limit."""
    found = {name: each for name, each in observed.items() if name in _LONG_TEXTS and each.student.failure is not None}
    return {name: found[name] for name in [name for name in found if name not in asked][:2]}


def _wrong_on_long_texts(observed: Mapping[str, Observation], asked: Collection[str]) -> dict[str, Observation]:
    """The first of the long texts with a wrong output: what shows nowhere else begins at a length."""
    for name, each in observed.items():
        output = each.student.attn_output
        has_shape = output is not None and output.shape == each.probe.query.shape
        if name in _LONG_TEXTS and name not in asked and has_shape and not each.is_right:
            return {name: each}
    return {}


def _rerun_probes(
    attention: StudentAttention,
    probes: Sequence[Probe],
    known: Mapping[str, ProbeResult],
    seconds: float,
    end: Callable[[Callable[[], None]], None],
) -> dict[str, ProbeResult]:
    """Run the probes in a new process, which is closed by `end`; where the time is too short, take earlier results."""
    if seconds < MIN_SECONDS and known:
        return dict(known)
    attempts: dict[str, ProbeResult] = {}
    deadline = time.perf_counter() + seconds
    fresh = attention.restarted(seconds=None if math.isinf(seconds) else max(seconds, MIN_SECONDS))
    try:
        for probe in probes:
            if fresh.unsupported_reason(probe) is not None:
                continue
            before, left = known.get(probe.name), deadline - time.perf_counter()
            record = fresh.run_probe(probe) if _expected_seconds(probe, before) < left else None
            if record is None or (record.failure is not None and time.perf_counter() > deadline):
                # Not run, or cut off by the deadline, which says nothing about the submission.
                record = before
            if record is None:
                continue
            attempts[probe.name] = record
            if record.failure is not None and record.failure.name in _FATAL_FAILURES:
                break
    finally:
        end(fresh.student.close)
    return attempts


def _expected_seconds(probe: Probe, before: ProbeResult | None) -> float:
    if before is None:
        return 0.0
    return before.seconds * (1.0 if probe.upstream is None else _BACKWARD)
