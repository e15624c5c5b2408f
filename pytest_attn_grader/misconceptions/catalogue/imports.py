"""Imports that cannot work where a submission is graded: downloads, and modules that are not there."""

from __future__ import annotations

import ast
import difflib
import re
import sys
from typing import NoReturn

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_IMPORT_FAILURES = frozenset({"import-error", "timeout"})
_NO_CONNECTION = re.compile(
    r"urlopen error|name resolution|Name or service not known|Network is unreachable|Max retries|ConnectionError"
    r"|couldn't connect|offline|LocalEntryNotFound|Failed to resolve"
)


def _needs_network(case: SubmissionObservations) -> Recognition | None:
    """A failed import of a file that fetches something outside of functions, or that says it had no connection."""
    names = [
        name for name, record in case.attempts.items() if record.failure and record.failure.name in _IMPORT_FAILURES
    ]
    if not names or any(_NO_MODULE.search(case.failure_message(name)) for name in names):
        return None
    call = case.source.download_at_import()
    if call is not None:
        words = f"line {call.lineno} calls {ast.unparse(call.func)} when the file is imported"
        return Recognition(frozenset(names), f"{words}, and the sandbox has no network")
    said = [found[0] for name in names if (found := _NO_CONNECTION.search(case.failure_message(name)))]
    return Recognition(frozenset(names), f"{said[0]!r} at the import; the sandbox has no network") if said else None


@misconception(
    "AG009", "needs-network", replaces="prepare", family="broken", by_numbers=False, recognise=_needs_network
)
def needs_network(_: Inputs) -> NoReturn:
    """downloads something when it is imported, and there is no network where it is graded.

    What stands outside of functions runs when the file is imported. A model, a tokenizer or a data set that is fetched
    there is not available in the sandbox; attention needs none of them.

    Bad:
        model = GPT2LMHeadModel.from_pretrained("gpt2")
    Good:
        if __name__ == "__main__":
            model = GPT2LMHeadModel.from_pretrained("gpt2")

    Effect: The import fails or takes too long, and nothing is graded.
    Nudge: Which lines outside of functions does the attention need?
    Fix: Move the download below `if __name__ == "__main__":`, or into a function that the attention does not call.
    """
    raise ConnectionError("Max retries exceeded")


_NO_NAME = re.compile(r"cannot import name '([\w.]+)' from '([\w.]+)'")
_RAISED = re.compile(r"ImportError: *(\S[^\n]*)")


def _import_fails(case: SubmissionObservations) -> Recognition | None:
    for kind in ("ModuleNotFoundError", "ImportError"):
        text = next((case.failure_message(name) for name in case.attempts if kind in case.failure_message(name)), "")
        if text:
            return case.raised(kind, _import_words(text, case.source.text))
    return None


def _import_words(text: str, source: str) -> str:
    missing = _NO_MODULE.search(text)
    if missing is None:
        return _other_words(text)
    if missing[1].startswith("."):
        return f"it imports from {missing[1]}, and there is no file {missing[1][1:].replace('.', '/')}.py beside yours"
    if missing[1].startswith("google") and "google.colab" in source:
        return "google.colab exists on Google Colab only"
    close = difflib.get_close_matches(missing[1], _known_modules(missing[1]), n=1, cutoff=0.85)
    meant = f"; did you mean {close[0]}?" if close else ""
    package, _, inside = missing[1].rpartition(".")
    if inside and package in sys.modules:
        return f"the package {package} has no module {inside!r}{meant}"
    return f"there is no module {missing[1]!r}: neither a file beside yours nor an installed package{meant}"


def _other_words(text: str) -> str:
    """An import that failed although the module is there."""
    if "relative import" in text:
        return "a relative import (from . import ...) works in a package only, and this is a single file"
    missing = _NO_NAME.search(text)
    if missing is not None:
        name, module = missing[1], missing[2]
        is_pythons = module.partition(".")[0] in sys.stdlib_module_names
        where = (
            f"{module} of Python {sys.version_info[0]}.{sys.version_info[1]}" if is_pythons else f"the module {module}"
        )
        return f"{where} has no {name!r}; another version may have it"
    said = _RAISED.search(text)
    return f"an import ended with {said[1][:120]!r}" if said else "an import ended with an ImportError"


def _known_modules(name: str) -> list[str]:
    """The modules that somebody who wrote this name may have meant, with as many dots."""
    return [known for known in sys.modules if known.count(".") == name.count(".") and "_" not in known[0]]


@misconception("AG006", "import-fails", replaces="prepare", family="broken", by_numbers=False, recognise=_import_fails)
def import_fails(_: Inputs) -> NoReturn:
    """imports something that is not there when it is graded.

    The grader imports your file, with what is installed beside it. A package that only your machine has, a module of
    Google Colab, or a file that was not handed in cannot be imported, and there is no network to get it.

    Bad:
        from google.colab import drive
    Good:
        (nothing: attention needs torch and math only)

    Effect: Nothing runs.
    Nudge: Which of your imports does the attention need?
    Fix: Remove imports that the attention does not need, and hand in your own modules with the file.
    """
    raise ModuleNotFoundError("No module named 'helpers'")
