"""A whole class, written from the corpora: right, wrong and broken submissions, and what must become of each."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.students import REFERENCE

CORPUS = Path(__file__).parents[1] / "submissions"
EXPECT = "# expect: "
BROKEN = {
    "conflict": ("<<<<<<< HEAD\n", "import-error"),
    "empty": ("", "no-target"),
    "helper-missing": (
        "import helper_that_is_not_there as helper\n" + REFERENCE.replace("math.sqrt(", "helper.root("),
        "raised",
    ),
    "not-begun": ("def attention(query, key, value, mask=None):\n    raise NotImplementedError\n", "raised"),
    "leaves": (f"import os\n{REFERENCE}\nos._exit(0)\n", "exited"),
    "crashes": (f"import os\n{REFERENCE}\nos.abort()\n", "crashed"),
    "floods": (f"{REFERENCE}\nwhile True: print('x' * 1000)\n", "output-flood"),
}


@dataclass(frozen=True)
class Expected:
    """What must become of one submission.

    Attributes:
        slugs: mistakes of which the diagnosis names all; empty where none is wanted.
        failure: the name of the failure of a broken one.
    """

    verdict: str
    slugs: frozenset[str] = frozenset()
    failure: str = ""


def write_class(folder: Path, size: int) -> dict[str, Expected]:
    """Write `size` submissions into a folder, a folder each, and return what is expected by id.

    Of ten, three are right, five wrong and two broken; where a corpus ends it begins again.
    """
    kinds = itertools.cycle(("good", "wrong", "wrong", "broken", "good", "wrong", "wrong", "good", "wrong", "broken"))
    sources = {"good": _good(), "wrong": _wrong(), "broken": _broken()}
    found: dict[str, Expected] = {}
    for number in range(size):
        kind = next(kinds)
        name, source, expected = next(sources[kind])
        key = f"{number:03}-{kind}-{name}"
        place = folder / key / "attention.py"
        place.parent.mkdir(parents=True)
        if isinstance(source, Path):
            shutil.copyfile(source, place)
        else:
            place.write_text(source, encoding="utf-8")
        found[key] = expected
    return found


_Submission = tuple[str, Path | str, Expected]


def _good() -> Iterator[_Submission]:
    for file in itertools.cycle(sorted((CORPUS / "correct").glob("*.py"))):
        yield file.stem, file, Expected("passed")


def _wrong() -> Iterator[_Submission]:
    for file in itertools.cycle(sorted((CORPUS / "wrong").glob("*.py"))):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        yield file.stem, file, Expected("failed", frozenset(first.removeprefix(EXPECT).split()))


def _broken() -> Iterator[_Submission]:
    for name, (source, failure) in itertools.cycle(BROKEN.items()):
        yield name, source, Expected("failed", failure=failure)


def graded_ids(out: Path) -> set[str]:
    """The names of the reports in the --out folder of a class that have a verdict."""
    reports = (out / "reports").glob("*.json")
    return {each.stem for each in reports if b'"verdict": "ungradable"' not in each.read_bytes()}
