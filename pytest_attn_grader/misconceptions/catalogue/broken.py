"""Code that gives no answer at all: it does not parse, a name is missing, nothing is returned."""

from __future__ import annotations

from typing import NoReturn

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs


def _does_not_parse(case: SubmissionObservations) -> Recognition | None:
    return (
        case.raised("SyntaxError", "the file is not valid Python")
        or case.raised("IndentationError", "the file is not valid Python")
        or case.raised("TabError", "the file is not valid Python")
    )


@misconception(
    "AG001", "merge-conflict", replaces="prepare", family="broken", by_numbers=False, recognise=_does_not_parse
)
def merge_conflict(_: Inputs) -> NoReturn:
    """does not parse: Python cannot read the file.

    The message of a SyntaxError names the line, and the mistake is there or just before it: an unclosed bracket, a
    missing colon, a wrong indentation, or lines such as <<<<<<< HEAD and ======= that git leaves when two versions
    could not be merged.

    Bad:
        <<<<<<< HEAD
    Good:
        (one of the two versions, without the marker lines)

    Effect: Nothing runs.
    Nudge: Run python on your file and look at the line it names, and the one before it.
    Fix: Keep one of the versions and delete the lines with <<<<<<<, ======= and >>>>>>>; close every bracket.
    """
    raise SyntaxError("invalid syntax")


def _name_unknown(case: SubmissionObservations) -> Recognition | None:
    for kind in ("NameError", "UnboundLocalError", "AttributeError", "ImportError", "ModuleNotFoundError"):
        finding = case.raised(kind, "Python does not know a name that the code uses")
        if finding is not None:
            return finding
    return None


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


def _gives_nothing(case: SubmissionObservations) -> Recognition | None:
    return (
        case.raised("returned None", "the function returned None")
        or case.raised("exceptions must derive from BaseException", "the result is raised instead of returned")
        or case.raised("NotImplementedError", "a part of the scaffold is still to be written")
    )


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

    Effect: Whoever calls the function gets None.
    Nudge: What does your function hand back to its caller, on every path?
    Fix: End it with return attn_output, or return attn_output, attn_weights.
    """
    raise TypeError("the function returned None")
