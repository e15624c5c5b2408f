"""Code that gives no output at all: it does not parse or import, a name is missing, nothing is returned."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.layers import is_about_a_layer
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

_MARKERS = ("<<<<<<<", ">>>>>>>", "=======\n")
_DOES_NOT_PARSE = ("SyntaxError", "IndentationError", "TabError")
# Syntax by the version of Python that introduced it.
_NEWER_SYNTAX = (
    (re.compile(r"^\s*except [^(\n:]*,[^(\n:]*:", re.M), (3, 14), "except with several types and no parentheses"),
    (re.compile(r"\bt([\"'])"), (3, 14), "a template string t'...'"),
    (re.compile(r"^\s*type \w+(\[[^\]\n]*\])? = ", re.M), (3, 12), "a type statement"),
    (re.compile(r"^\s*(?:async )?(?:def|class) \w+\[", re.M), (3, 12), "a type parameter in brackets"),
    (
        re.compile(r"\bf([\"'])(?:(?!\1)[^\n{]|\{\{)*\{(?:(?!\1)[^}\n])*\1", re.M),
        (3, 12),
        "an f-string with quotes of the same kind inside",
    ),
    (re.compile(r"^\s*except\*", re.M), (3, 11), "except*"),
)


def _first_line(case: SubmissionObservations) -> str:
    """The first line of what Python says."""
    texts = [case.failure_message(name).partition("\n")[0] for name in case.attempts]
    return next((text for text in texts if text), "")


def _parse_failure(case: SubmissionObservations, evidence: str) -> Recognition | None:
    found = (case.raised(kind, evidence) for kind in _DOES_NOT_PARSE)
    return next((finding for finding in found if finding is not None), None)


def _has_markers(case: SubmissionObservations) -> bool:
    return any(marker in case.source.text for marker in _MARKERS[:2]) or any(
        marker in case.failure_message(name) for name in case.attempts for marker in _MARKERS[:2]
    )


def _newer_syntax(case: SubmissionObservations) -> str | None:
    for pattern, version, what in _NEWER_SYNTAX:
        if sys.version_info < version and pattern.search(case.source.text):
            return (
                f"{what} requires Python {version[0]}.{version[1]}; this is {sys.version_info[0]}.{sys.version_info[1]}"
            )
    return None


def _has_conflict(case: SubmissionObservations) -> Recognition | None:
    return _parse_failure(case, "git's marker lines are still in the file") if _has_markers(case) else None


@misconception(
    "AG001", "merge-conflict", replaces="prepare", family="broken", by_numbers=False, recognise=_has_conflict
)
def merge_conflict(_: Inputs) -> NoReturn:
    """still has the marker lines of a merge conflict in it, so that Python cannot read the file.

    Where git could not merge two versions it writes both into the file, between the lines <<<<<<<, ======= and >>>>>>>.
    None of these lines is Python.

    Bad:
        <<<<<<< HEAD
    Good:
        (one of the two versions, without the marker lines)

    Effect: Nothing runs.
    Nudge: Search your file for <<<<<<<.
    Fix: Keep one of the versions and delete the lines with <<<<<<<, ======= and >>>>>>>.
    """
    raise SyntaxError("invalid syntax")


def _is_newer(case: SubmissionObservations) -> Recognition | None:
    what = _newer_syntax(case)
    return None if what is None or _has_markers(case) else _parse_failure(case, what)


@misconception("AG004", "newer-python", replaces="prepare", family="broken", by_numbers=False, recognise=_is_newer)
def newer_python(_: Inputs) -> NoReturn:
    """is written for a newer Python than the one that grades it.

    Every version of Python adds some syntax, and an older one cannot read it. The file is right where it was written.

    Bad:
        type Pair = tuple[Tensor, Tensor]      # Python 3.12
    Good:
        Pair = tuple[Tensor, Tensor]           # every Python

    Effect: Nothing runs with the older version.
    Nudge: Which Python do you run your file with, and which one grades it?
    Fix: Write the line in older syntax, or have it graded with the newer Python.
    """
    raise SyntaxError("invalid syntax")


def _does_not_parse(case: SubmissionObservations) -> Recognition | None:
    if _has_markers(case) or _newer_syntax(case) is not None:
        return None
    return _parse_failure(case, _first_line(case))


@misconception(
    "AG005", "syntax-error", replaces="prepare", family="broken", by_numbers=False, recognise=_does_not_parse
)
def syntax_error(_: Inputs) -> NoReturn:
    """does not parse: Python cannot read the file.

    The message of a SyntaxError names the line, and the mistake is there or just before it: an unclosed bracket, a
    missing colon, a wrong indentation.

    Bad:
        scores = (query @ key.transpose(-2, -1)
        weights = scores.softmax(-1)
    Good:
        scores = query @ key.transpose(-2, -1)
        weights = scores.softmax(-1)

    Effect: Nothing runs.
    Nudge: Run python on your file and look at the line it names, and the one before it.
    Fix: Close every bracket, end def, if and for with a colon, and indent with four spaces.
    """
    raise SyntaxError("invalid syntax")


_LACKS = re.compile(r"(?:'(?:[\w.]*[Cc]onfig\w*|SimpleNamespace)' object has no attribute|config has no) '(\w+)'")


def _config_lacks(case: SubmissionObservations) -> Recognition | None:
    for name in case.attempts:
        found = _LACKS.search(case.failure_message(name))
        if found is not None:
            return case.raised(found[0], f"the config that is passed has no {found[1]!r}")
    return None


@misconception(
    "AG007", "config-attribute", replaces="prepare", family="broken", by_numbers=False, recognise=_config_lacks
)
def config_attribute(_: Inputs) -> NoReturn:
    """reads something from its config that the config does not have.

    A config object comes from the caller. The usual sizes are there under their usual names, and what is only tested,
    as in `if config.fast:`, is off. Anything else that you add is not there, unless its class is in your file.

    Bad:
        self.use_cache = config.my_flag
    Good:
        self.use_cache = getattr(config, "my_flag", False)

    Effect: The module cannot be constructed.
    Nudge: Which attributes of the config does your constructor read, and who sets them?
    Fix: Use getattr with a default, or define the config's class in your file.
    """
    raise AttributeError("'Config' object has no attribute 'my_flag'")


# An argument that was not given, an array of numpy, nn.Parameter of a number: the name is right, the value is not.
_OTHER_VALUE = re.compile(
    r"'(?:NoneType|numpy.ndarray)' object has no attribute|'(?:int|float|bool)' object has no attribute 'detach'"
)


def _name_unknown(case: SubmissionObservations) -> Recognition | None:
    if _config_lacks(case) is not None or is_about_a_layer(case):
        return None
    if any(_OTHER_VALUE.search(case.failure_message(name)) for name in case.attempts):
        return None
    return case.raised_any(("NameError", "UnboundLocalError", "AttributeError"), _first_line(case))


@misconception(
    "AG002", "undefined-name", replaces="prepare", family="broken", by_numbers=False, recognise=_name_unknown
)
def undefined_name(_: Inputs) -> NoReturn:
    """uses a name that is defined nowhere.

    A NameError or AttributeError means that a variable, a function or a method of that name does not exist where it is
    used: a typing mistake, a missing import, a variable that is only set in another branch, or a method that belongs to
    another library (numpy's and torch's names differ).

    Bad:
        scores = torch.matmul(Q, key.transpose(-2, -1))     # the parameter is called query
    Good:
        scores = torch.matmul(query, key.transpose(-2, -1))

    Effect: An exception at the first call.
    Nudge: The last line of the traceback names the unknown name. Where should it come from?
    Fix: Correct the spelling, import it, or define it before it is used.
    """
    raise NameError("name 'scale' is not defined")


_MASK_AS_FLAG = re.compile(
    r"\b(?:if|elif|while|and|or|not)\s+\(?\w*mask\w*\)?\s*(?::|and\b|or\b|else\b|$)|\bmask (?:or|and) "
)


def _asks_whether_a_mask_is_true(case: SubmissionObservations) -> Recognition | None:
    finding = case.raised("Boolean value of Tensor with more than one value is ambiguous", "the mask is a tensor")
    lines = [case.failing_line(name) for name in case.attempts]
    return finding if any(_MASK_AS_FLAG.search(line) for line in lines) else None


@misconception(
    "AG008",
    "mask-truth-value",
    replaces="prepare",
    family="broken",
    by_numbers=False,
    recognise=_asks_whether_a_mask_is_true,
)
def mask_truth_value(_: Inputs) -> NoReturn:
    """asks whether a tensor is true (`if mask:`) instead of whether there is one (`if mask is not None:`).

    A tensor of many numbers is neither true nor false, and PyTorch refuses to guess. Whether a mask was passed is
    another question: is it None?

    Bad:
        if mask:
    Good:
        if mask is not None:

    Effect: An exception as soon as a mask is passed.
    Nudge: What should Python decide on at the line that the exception names?
    Fix: Write `if mask is not None:`.
    """
    raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")


def _gives_nothing(case: SubmissionObservations) -> Recognition | None:
    helper = case.source.helper_without_return()
    return (
        (case.raised("NoneType", f"the function {helper} returns None") if helper else None)
        or case.raised("called without a mask, the", "called without a mask, the function returned None")
        or case.raised("returned None", "the function returned None")
        or case.raised("exceptions must derive from BaseException", "the result is raised instead of returned")
        or _is_unfinished(case)
    )


def _is_unfinished(case: SubmissionObservations) -> Recognition | None:
    """The submission raises NotImplementedError itself; PyTorch does for what it cannot compute."""
    if not any(case.failing_line(name).startswith("raise NotImplementedError") for name in case.attempts):
        return None
    return case.raised("NotImplementedError", "a part of the scaffold is still to be written")


@misconception("AG003", "no-return", replaces="prepare", family="broken", by_numbers=False, recognise=_gives_nothing)
def no_return(_: Inputs) -> NoReturn:
    """returns nothing.

    A Python function without a return statement returns None, however much it has computed. A print shows a result and
    hands nothing back, and raise is for errors.

    Bad:
        attn_output = attn_weights @ value
    Good:
        attn_output = attn_weights @ value
        return attn_output, attn_weights

    Effect: The caller of the function gets None.
    Nudge: What does your function hand back to its caller, on every path?
    Fix: End it with return attn_output, or return attn_output, attn_weights.
    """
    raise TypeError("the function returned None")
