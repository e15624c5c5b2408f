"""Say what is wrong: run every known mistake on the student's probes and name the one with the same answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_attn_grader.attention.probes import INPUT_NAMES, Probe, ProbeResult
from pytest_attn_grader.attention.tolerances import ProbeTolerance, derive_tolerance
from pytest_attn_grader.misconceptions.base import FAMILIES, Misconception
from pytest_attn_grader.misconceptions.catalogue.registry import MISCONCEPTIONS
from pytest_attn_grader.misconceptions.evidence import describe_evidence
from pytest_attn_grader.misconceptions.explanation import Explanation
from pytest_attn_grader.misconceptions.hypotheses import single_hypotheses
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.search import Search
from pytest_attn_grader.misconceptions.source import SubmissionSource
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.results.submission import Failure


def diagnose(
    attempts: Mapping[str, ProbeResult],
    probes: Mapping[str, Probe],
    references: Mapping[str, ProbeResult] | None = None,
    tolerances: Mapping[str, ProbeTolerance] | None = None,
    *,
    mask_convention: str = "keep",
    hints: str = "explain",
    predictions: PredictionCache | None = None,
    source: str = "",
    seconds: float = math.inf,
    rotary_base: float | None = None,
) -> Diagnosis | None:
    """Name the mistake in a submission, or say honestly that it is none of the known ones.

    Args:
        attempts: what the student did with each probe, in the order in which it was asked; see `diagnosis_probes`.
        probes: the probes by name, at least those of `attempts`.
        references: float64 references by probe; those that are missing are worked out.
        tolerances: tolerances by probe; those that are missing are worked out.
        mask_convention: "keep", "additive", "blocked", or "none" for a submission that masks by itself.
        hints: "none" (no diagnosis), "nudge" (where to look), "explain" (what and why), "fix" (what to write instead).
        source: the text of the submission, which decides between mistakes whose numbers are the same.
        predictions: shared among submissions, so that a mistake is run once on the same probe.
        seconds: wall clock that the search may take; see `Search`.
        rotary_base: of the model, where the submission has to rotate query and key itself; None elsewhere.

    Returns:
        None when every answer is the reference's (or when hints are off).
    """
    if hints == "none":
        return None
    case = _case(attempts, probes, references or {}, tolerances or {}, mask_convention, source, rotary_base)
    explanation = Search(case, predictions, seconds=seconds).run()
    return None if explanation is None else _worded(explanation, case, hints)


def predict_first(
    attempts: Mapping[str, ProbeResult],
    probes: Mapping[str, Probe],
    references: Mapping[str, ProbeResult],
    tolerances: Mapping[str, ProbeTolerance],
    *,
    mask_convention: str,
    rotary_base: float | None,
    predictions: PredictionCache,
) -> None:
    """Work out every known mistake's output on the first of these probes, which `diagnose` finds in `predictions`.

    Args: as those of `diagnose`.
    """
    case = _case(attempts, probes, references, tolerances, mask_convention, "", rotary_base)
    for hypothesis in single_hypotheses(case):
        _ = predictions.of(hypothesis, next(iter(attempts)), case).attn_output


def diagnose_failure(failure: Failure, *, hints: str = "explain", source: str = "") -> Diagnosis | None:
    """The same for a failure without a probe: it does not import, has no target, or its projections are wrong."""
    if hints == "none":
        return None
    record = ProbeResult(probe="import", failure=failure)
    case = SubmissionObservations(
        attempts={"import": record}, probes={}, references={}, tolerances={}, source=SubmissionSource(source)
    )
    for known in MISCONCEPTIONS:
        without_probe = known.family in {"broken", "dtype", "rotary", "projections"}
        finding = known.recognise(case) if without_probe and known.recognise is not None else None
        if finding is not None:
            return _named((known,), f"Your code {known.title}: {finding.evidence}.", hints)
    return None


def _case(
    attempts: Mapping[str, ProbeResult],
    probes: Mapping[str, Probe],
    references: Mapping[str, ProbeResult],
    tolerances: Mapping[str, ProbeTolerance],
    mask_convention: str,
    source: str,
    rotary_base: float | None,
) -> SubmissionObservations:
    all_references, all_tolerances = dict(references), dict(tolerances)
    derived: dict[tuple[int, ...], tuple[ProbeResult, ProbeTolerance]] = {}
    for name in attempts:
        probe = probes[name]
        # A second call and one in training have the inputs of the first, and the reference has no dropout.
        inputs = tuple(id(tensor) for tensor in (probe.query, probe.key, probe.value, probe.keep_mask))
        if name not in all_references or name not in all_tolerances:
            if probe.upstream is not None or inputs not in derived:
                derived[inputs] = derive_tolerance(probe)
            all_references[name], all_tolerances[name] = derived[inputs]
        derived.setdefault(inputs, (all_references[name], all_tolerances[name]))
    return SubmissionObservations(
        dict(attempts),
        dict(probes),
        all_references,
        all_tolerances,
        mask_convention,
        SubmissionSource(source),
        rotary_base=rotary_base,
    )


def _worded(explanation: Explanation, case: SubmissionObservations, hints: str) -> Diagnosis:
    if not explanation.mistakes:
        evidence = "; ".join(describe_evidence(case)) or "no single observation stands out"
        together = "nor two of them together" if explanation.is_exhaustive else "not all pairs were tried in the time"
        known = f"None of the {len(MISCONCEPTIONS)} known mistakes ({together})"
        answered = any(record.failure is None for record in case.attempts.values())
        message = f"{known} explains {'your numbers' if answered else 'this'}. Seen: {evidence}.{_unused(case)}"
        return Diagnosis(slugs=(), titles=(), message=message, distance=None)
    message = _message(explanation) + _place(explanation, case) + _unused(case)
    if explanation.look_alikes:
        others = "; or ".join(
            f"{known.title} ({known.id})" for known in MISCONCEPTIONS if known.slug in explanation.look_alikes
        )
        message += f" The same numbers come from one that {others}."
    unexplained, is_right = _unexplained(explanation, case)
    if unexplained:
        message += f" Something else is wrong: {unexplained}."
    if is_right:
        message += f" Other than that attention, {is_right}."
        unexplained = unexplained or is_right
    diagnosis = _named(explanation.mistakes, message, hints)
    by_numbers = len(explanation.findings) < len(explanation.mistakes)
    return diagnosis.model_copy(
        update={
            "distance": explanation.distance if by_numbers else None,
            "look_alikes": explanation.look_alikes if hints != "nudge" else (),
            "unexplained": unexplained if hints != "nudge" else "",
        }
    )


def _message(explanation: Explanation) -> str:
    close = f"largest difference {explanation.distance:.1g}" if explanation.distance else "to the last digit"
    number = explanation.num_probes
    agreement = f"{close}, on {number} probe{'s' if number > 1 else ''}"
    if len(explanation.mistakes) == 1:
        (mistake,) = explanation.mistakes
        finding = explanation.findings.get(mistake.slug)
        if finding is not None:
            return f"Your attention {mistake.title}: {finding.evidence}."
        note = f"; {explanation.note}" if explanation.note else ""
        return f"Your attention equals one that {mistake.title} ({agreement}{note})."
    listed = "; ".join(
        f"({number}) it {mistake.title}{_evidence_for(mistake, explanation)}"
        for number, mistake in enumerate(explanation.mistakes, start=1)
    )
    by_numbers = len(explanation.findings) < len(explanation.mistakes)
    return f"Your attention has {len(explanation.mistakes)} mistakes, the most fundamental first: {listed}." + (
        f" An attention that makes them gives your numbers ({agreement})." if by_numbers else ""
    )


def _place(explanation: Explanation, case: SubmissionObservations) -> str:
    """Place where a mistake about number formats shows: the line that the exception of bfloat16 names."""
    record = case.attempts.get("bfloat16")
    if record is None or not any(mistake.family == "dtype" for mistake in explanation.mistakes):
        return ""
    failure = record.failure
    if failure is None or failure.where is None:
        return " It shows in bfloat16."
    line = case.failing_line("bfloat16")
    return f" It shows in bfloat16, at {failure.where}" + (f": {line}" if line else "") + "."


def _unused(case: SubmissionObservations) -> str:
    layers = [f"self.{name}" for name in case.source.unused_layers()]
    return f" {' and '.join(layers)} {'is' if len(layers) == 1 else 'are'} made and never used." if layers else ""


def _unexplained(explanation: Explanation, case: SubmissionObservations) -> tuple[str, str]:
    """Unexplained faults, grouped by what differs: "the gradient of key with one example and 2 more inputs".

    The second text has the probes on which the student is right, although the mistake would make it wrong.
    """
    words = {
        "answer": "an exception with another cause,",
        "backward": "the backward pass",
        "output": "the output",
    }
    words |= {"weights": "the weights", **{name: f"the gradient of {name}" for name in INPUT_NAMES}}
    by_aspect: dict[str, list[str]] = {}
    right: list[str] = []
    names, places = [*case.attempts], {aspect: place for place, aspect in enumerate(words)}
    faults = sorted(
        explanation.unexplained, key=lambda fault: (names.index(fault[0]), places.get(fault[1], len(words)))
    )
    for name, aspect in faults:
        if aspect in {"output", "weights"} and case.matches_reference(name, aspect):
            right += [case.probes[name].title] if case.probes[name].title not in right else []
            continue
        text = words.get(aspect, f"{aspect.removesuffix(' after')} is changed")
        if aspect == "answer" and case.attempts[name].failure is None:
            text = "the answer, where this mistake alone raises an exception,"
        by_aspect.setdefault(text, []).append(case.probes[name].title)
    wrong = "; ".join(f"{text} with {_first_of(titles)}" for text, titles in by_aspect.items())
    return wrong, f"yours is right with {_first_of(right)}" if right else ""


def _first_of(titles: Sequence[str]) -> str:
    """The first title, and how many more: titles have commas in them."""
    more = len(titles) - 1
    return titles[0] + (f" and {more} more {'input' if more == 1 else 'inputs'}" if more else "")


def _evidence_for(mistake: Misconception, explanation: Explanation) -> str:
    finding = explanation.findings.get(mistake.slug)
    return "" if finding is None else f" ({finding.evidence})"


def _named(mistakes: tuple[Misconception, ...], message: str, hints: str) -> Diagnosis:
    if hints == "nudge":
        families = " and ".join(dict.fromkeys(FAMILIES[mistake.family] for mistake in mistakes))
        return Diagnosis(
            slugs=(),
            titles=(),
            message=f"Your numbers fit a known mistake. It is about {families}.",
            hint="\n".join(mistake.hints.nudge for mistake in mistakes),
        )
    texts = [mistake.hints.explain if hints == "explain" else mistake.hints.fix for mistake in mistakes]
    return Diagnosis(
        slugs=tuple(mistake.slug for mistake in mistakes),
        titles=tuple(mistake.title for mistake in mistakes),
        message=message,
        hint="\n\n".join(texts),
    )
