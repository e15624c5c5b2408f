"""Misconception: an executable wrong attention, and the words that go with it.

The words live in one place, the docstring of the wrong stage. It is the text of ``attn-grader explain``, of the HTML
page and of the documentation, and it is parsed here into title, explanation, effect and hints:

    a predicate that completes "Your attention equals one that ..."

    Explanation, as many paragraphs as it takes.

    Bad:
        the wrong line
    Good:
        the right line

    Effect: what it does to the model.
    Nudge: where to look, without giving it away.
    Fix: what to write instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.misconceptions.stages import StagedAttention, StageOverride

if TYPE_CHECKING:
    from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
    from pytest_attn_grader.misconceptions.source import SubmissionSource

Recogniser = Callable[["SubmissionObservations"], "Recognition | None"]
SourceTest = Callable[["SubmissionSource"], bool]
ParameterFitter = Callable[["SubmissionObservations"], tuple[StageOverride, ...]]

FAMILIES: Mapping[str, str] = {
    "broken": "whether the code runs at all",
    "shape": "sizes that the code assumes",
    "wiring": "which tensor goes where",
    "projections": "the projections of a module",
    "softmax": "the softmax",
    "scale": "the scaling of the scores",
    "mask": "the mask",
    "heads": "the layout of the heads",
    "rotary": "rotary positions",
    "cache": "the cache of keys and values",
    "norm": "the norm of query and key",
    "grad": "the way back: gradients",
    "state": "what is left behind after a call",
    "dropout": "dropout",
    "dtype": "number formats other than float32",
}
_SECTIONS = ("Bad", "Good", "Effect", "Nudge", "Fix")
_SECTION_START = re.compile(rf"^({'|'.join(_SECTIONS)}):[ ]?(.*)$")


@dataclass(frozen=True)
class Hints:
    """Three strengths of help: where to look, why it is wrong, what to write instead."""

    nudge: str
    explain: str
    fix: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Misconception:
    """A wrong attention that people really write.

    Attributes:
        id: stable, as in ``attn-grader explain AG102``.
        slug: the name of the mistake.
        title: a predicate that completes "Your attention equals one that ...".
        family: a key of `FAMILIES`.
        probe: the probe that shows it best.
        changes: the wrong formula as stages of the pipeline; the first is the usual form, the others are variants.
        text: the whole docstring.
        look_alikes: slugs that no probe, or only luck, tells apart from this one.
        fill_matters: rows without a key occur, so a fill of -inf (NaN) and a finite one (evenly spread) look different.
        recognise: names it by its behaviour where numbers cannot be equal (random numbers, exceptions, sequences of
        calls).
        fit: variants with a constant that is read off the student's numbers.
        by_numbers: whether running `changes` on the student's probes and comparing numbers can show it.
        shown_by: whether the source shows it, which decides between mistakes whose numbers are the same.
        only_shown: named only where the source, if it is known, shows it: other mistakes end in the same NaN.
        rotary: True for a mistake of a submission that has to rotate query and key by their positions, False for one of
            a submission that must not; None for both.
        windowed: the same for a layer with a sliding window.
        normed: the same for a submission that has to normalise query and key.
        causal: True for a mistake about the future, which an encoder does not hide; False for one that is one in
            an encoder only; None for both.
        counted: False for what is worth knowing but is no fault.
    """

    id: str
    slug: str
    title: str
    family: str
    probe: str = "basic"
    changes: tuple[StageOverride, ...]
    explanation: str
    hints: Hints
    effect: str
    text: str
    look_alikes: tuple[str, ...] = ()
    fill_matters: bool = False
    recognise: Recogniser | None = None
    fit: ParameterFitter | None = None
    by_numbers: bool = True
    counted: bool = True
    shown_by: SourceTest | None = None
    only_shown: bool = False
    rotary: bool | None = None
    windowed: bool | None = None
    normed: bool | None = None
    causal: bool | None = None

    @property
    def attention(self) -> StagedAttention:
        """The usual form of the wrong attention, ready to be put to a probe."""
        return self.changes[0].pipeline()


def misconception(
    id: str,  # noqa: A002 - the name every reader expects
    slug: str,
    *,
    replaces: str,
    family: str,
    note: str = "",
    together_with: Mapping[str, Callable[..., Any]] | None = None,
    variants: tuple[StageOverride, ...] = (),
    **facts: Any,
) -> Callable[[Callable[..., Any]], Misconception]:
    """Turn a wrong stage and its docstring into a `Misconception`.

    Args:
        replaces: the stage of the pipeline that the function stands for.
        note: which variant of the mistake the function is, where there are others.
        together_with: further stages that the same mistake replaces.
        variants: other forms of the same mistake.
        facts: the attributes of `Misconception` that differ from their defaults.
    """

    def make(stage: Callable[..., Any]) -> Misconception:
        text = inspect.getdoc(stage) or ""
        title, explanation, sections = _parse(text, slug)
        if family not in FAMILIES:
            raise ValueError(f"{slug}: {family!r} is no family; there are {', '.join(FAMILIES)}")
        fix = f"{sections['Fix']}\n\nBad:\n{sections['Bad']}\nGood:\n{sections['Good']}"
        return Misconception(
            id=id,
            slug=slug,
            title=title,
            family=family,
            changes=(StageOverride({replaces: stage, **(together_with or {})}, note), *variants),
            explanation=explanation,
            hints=Hints(sections["Nudge"], explanation, fix),
            effect=sections["Effect"],
            text=text,
            **facts,
        )

    return make


def _parse(text: str, slug: str) -> tuple[str, str, dict[str, str]]:
    title, _, body = text.partition("\n")
    collected: dict[str, list[str]] = {"": []}
    current = ""
    for line in body.splitlines():
        start = _SECTION_START.match(line)
        if start:
            current = start[1]
            collected[current] = [start[2]] if start[2] else []
        else:
            collected[current].append(line)
    missing = [name for name in _SECTIONS if name not in collected]
    if missing or not title.strip():
        raise ValueError(f"{slug}: the docstring lacks {', '.join(missing) or 'a title'}")
    sections = {
        name: "\n".join(lines).rstrip() if name in {"Bad", "Good"} else _flow(lines)
        for name, lines in collected.items()
    }
    return title.strip().rstrip("."), sections.pop(""), sections


def _flow(lines: list[str]) -> str:
    """Paragraphs as single lines: where text is shown decides where it breaks."""
    paragraphs = "\n".join(lines).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
