"""The parts of the benchmark: each measures something and returns lines to print and data to keep."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.feedback import VERDICTS, live_session, watched_file
from tests.benchmarks.figures import Figure, alternate, difference, ratio
from tests.benchmarks.measure import Cost
from tests.benchmarks.subjects import PROMPT, Subject, empty, environment, floor, graded
from tests.support.checkpoints import REPO_ROOT

# A difference of milliseconds asks for more rounds than a ratio of seconds; memory hardly varies.
EMPTY_ROUNDS, MEMORY_ROUNDS = 4, 2


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        models: of `subjects.MODELS`.
        repeats: rounds, beside the one that is not counted.
        lengths: prompt lengths in tokens, for the growth.
        class_sizes: numbers of submissions, for the growth of a class.
        workspace: a folder for checkpoints and submissions.
    """

    models: tuple[str, ...]
    repeats: int
    lengths: tuple[int, ...]
    class_sizes: tuple[int, ...]
    workspace: Path


@dataclass(frozen=True)
class Outcome:
    """Lines for people, data for the JSON file."""

    lines: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def measure_runs(options: Options) -> Outcome:
    """Time of a graded run beside the script's, on each model."""
    outcome = Outcome()
    for model in options.models:
        script, run = floor(model, options.workspace), graded(model, options.workspace)
        costs = alternate((script, run), options.repeats, _cost)
        for what in ("wall_seconds", "cpu_seconds"):
            _compare(outcome, model, what, _values(costs[script.name], what), _values(costs[run.name], what))
    return outcome


def measure_memory(options: Options) -> Outcome:
    """Peak memory of a graded run beside the script's, in MiB."""
    outcome = Outcome()
    for model in options.models:
        script, run = floor(model, options.workspace), graded(model, options.workspace)
        peaks = alternate((script, run), min(options.repeats, MEMORY_ROUNDS), _memory)
        for what in ("main_rss", "main_pss", "all_pss"):
            _compare(outcome, model, what, _values(peaks[script.name], what), _values(peaks[run.name], what), digits=0)
    return outcome


def _compare(
    outcome: Outcome, model: str, what: str, script: Sequence[float], run: Sequence[float], *, digits: int = 2
) -> None:
    times = ratio(run, script)
    outcome.lines.append(
        f"{model}, {what}: script {Figure.of(script).shown(digits)}, graded {Figure.of(run).shown(digits)}, "
        f"ratio {times.shown()}"
    )
    outcome.data.setdefault(model, {})[what] = {
        "script": Figure.of(script).to_json(),
        "graded": Figure.of(run).to_json(),
        "ratio": times.to_json(),
    }


def measure_plugin(options: Options) -> Outcome:
    """What the plugin costs a pytest run that grades nothing."""
    without = empty(options.workspace, "-p", "no:attn_grader", name="without the plugin")
    loaded = empty(options.workspace, name="with the plugin")
    costs = alternate((without, loaded), options.repeats * EMPTY_ROUNDS, _cost)
    outcome = Outcome()
    for what in ("wall_seconds", "cpu_seconds"):
        base = [1e3 * value for value in _values(costs[without.name], what)]
        values = [1e3 * value for value in _values(costs[loaded.name], what)]
        more = difference(values, base)
        outcome.lines.append(
            f"a run that grades nothing, {what} in ms: without {Figure.of(base).shown(0)}, "
            f"with {Figure.of(values).shown(0)}, more {more.shown(0)}"
        )
        outcome.data[what] = {
            "without_milliseconds": Figure.of(base).to_json(),
            "with_milliseconds": Figure.of(values).to_json(),
            "more_milliseconds": more.to_json(),
        }
    return outcome


def measure_growth(options: Options) -> Outcome:
    """Time and memory of a graded run against the length of the prompt and the number of graded layers."""
    model, outcome = options.models[0], Outcome()
    lengths = {str(tokens): f"--attn-prompt={prompt_of(tokens)}" for tokens in options.lengths}
    layers = {"one": "--attn-layer=0", "all": "--attn-layer=all"}
    for what, asked in (("tokens", lengths), ("layers", layers)):
        subjects = {
            size: graded(model, options.workspace, option, name=f"{what} {size}") for size, option in asked.items()
        }
        costs = alternate(tuple(subjects.values()), options.repeats, _cost)
        rows = outcome.data.setdefault(what, [])
        for size, subject in subjects.items():
            seconds = Figure.of(_values(costs[subject.name], "wall_seconds"))
            peak = _memory(subject)
            rows.append({what: size, "wall_seconds": seconds.to_json(), "main_rss": peak.main_rss})
            outcome.lines.append(f"{model}, {subject.name}: {seconds.shown()} s, {peak.main_rss:.0f} MiB")
    return outcome


def prompt_of(tokens: int) -> str:
    """A text of so many tokens: the usual prompt's words, one token each, over and over."""
    words = PROMPT.split()
    return " ".join(words[number % len(words)] for number in range(tokens))


def measure_class(options: Options) -> Outcome:
    """Time and memory of a class of right submissions, by its size."""
    outcome = Outcome()
    rows = outcome.data.setdefault("sizes", [])
    for size in options.class_sizes:
        seconds = _cost(_class_of(size, options.workspace)).wall_seconds
        peak = _memory(_class_of(size, options.workspace))
        rows.append({"submissions": size, "wall_seconds": seconds, "all_pss": peak.all_pss})
        outcome.lines.append(
            f"a class of {size}: {seconds:.1f} s, {seconds / size:.2f} s a submission, {peak.all_pss:.0f} MiB in all"
        )
    return outcome


def measure_feedback(options: Options) -> Outcome:
    """Time to a verdict where the model is kept, beside a whole `pytest` run in the same minute; on `mini`."""
    run = graded("mini", options.workspace)
    costs: dict[str, list[Cost]] = {}
    with (
        live_session(environment()) as session,
        tempfile.TemporaryDirectory(dir=options.workspace) as folder,
        watched_file(Path(folder)) as watched,
    ):
        for counted in [False] + [True] * options.repeats:
            taken = {"pytest": _cost(run)}
            for attempt in VERDICTS:
                taken[f"grade(), {attempt}"] = session.get(attempt)
                taken[f"watch, {attempt}"] = watched.get(attempt)
            for name, found in taken.items() if counted else ():
                costs.setdefault(name, []).append(found)
    outcome = Outcome()
    for what in ("wall_seconds", "cpu_seconds"):
        base = _values(costs["pytest"], what)
        for name, found in costs.items():
            values = _values(found, what)
            times = ratio(values, base)
            outcome.lines.append(f"{name}, {what}: {Figure.of(values).shown()}, ratio {times.shown()}")
            outcome.data.setdefault(name, {})[what] = {"seconds": Figure.of(values).to_json(), "ratio": times.to_json()}
    return outcome


def _class_of(size: int, workspace: Path) -> Subject:
    folder = Path(tempfile.mkdtemp(dir=workspace))
    submissions = folder / "submissions"
    submissions.mkdir()
    source = (REPO_ROOT / "examples" / "reference.py").read_text(encoding="utf-8")
    for number in range(size):
        # No two alike: a class's grader may know a file that it has seen.
        (submissions / f"student_{number:04d}.py").write_text(f"{source}\nNUMBER = {number}\n", encoding="utf-8")
    grader = shutil.which("attn-grader", path=str(Path(sys.executable).parent)) or "attn-grader"
    return Subject(
        f"a class of {size}",
        (grader, "grade", str(submissions), "--out", str(folder / "out"), "--model", "mini", "--quiet"),
        folder,
    )


PARTS: Mapping[str, Callable[[Options], Outcome]] = {
    "runs": measure_runs,
    "memory": measure_memory,
    "plugin": measure_plugin,
    "growth": measure_growth,
    "class": measure_class,
    "feedback": measure_feedback,
}

_cost = partial(measure.cost, environment=environment())
_memory = partial(measure.memory, environment=environment())


def _values(measured: Sequence[object], what: str) -> list[float]:
    return [float(getattr(each, what)) for each in measured]
