"""The contents of a submission, also of one whose import does not end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.target import SOURCE_SUFFIXES, Target

if TYPE_CHECKING:
    from pytest_attn_grader.submission.remote.client import SandboxClient
    from pytest_attn_grader.submission.remote.messages import Description

# Training at the top level, most often: what is defined beside it may do without it.
_MAY_BE_TRAINING = frozenset({"timeout", "out-of-memory"})


def describe(remote: SandboxClient, target: Target) -> Description:
    """Import a submission and say what is in it; where the import does not end, only its definitions are run.

    Raises:
        SubmissionError: it cannot be imported, or has nothing of the wanted name.
    """
    path, module, name = str(target.path), target.module, target.name
    try:
        return remote.describe(path=path, module=module, name=name)
    except SubmissionError as failure:
        if failure.name not in _MAY_BE_TRAINING or target.path.suffix not in SOURCE_SUFFIXES:
            raise
        try:
            return remote.describe(path=path, module=module, name=name, definitions_only=True)
        except SubmissionError:
            raise failure from None
