"""Every exception this package raises on purpose.

AttnGraderError
├── UsageError              what was typed cannot be used as it stands: exit code 4, nothing is graded
├── UngradableError         something on our side failed: exit code 10, no attempt is lost, no zero is given
│   ├── ModelUnavailableError     the requested model cannot be loaded
│   ├── SandboxUnavailableError   the submission cannot be run as safely as was asked for
│   └── AssessorUnavailableError  the model that assesses reports gave no answer that can be used
├── PatchingError            an attention cannot be put into this model (also a ValueError)
└── SubmissionError         the student's code failed; probes turn it into a result, it never reaches pytest
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

EXIT_UNGRADABLE = 10
EXIT_REPORT_LOST = 11

FailureName = Literal[
    "import-error",
    "no-target",
    "raised",
    "timeout",
    "out-of-memory",
    "out-of-cpu-time",
    "too-many-processes",
    "too-many-files",
    "file-too-large",
    "crashed",
    "exited",
    "output-flood",
    "malformed-reply",
    "forbidden",
]


class AttnGraderError(Exception):
    """Base of everything below."""


class UsageError(AttnGraderError):
    """The input of the user cannot be used; the message names the value and the remedy."""


class UngradableError(AttnGraderError):
    """The grader, not the student, is at fault; the message says what failed and what to do."""


class ModelUnavailableError(UngradableError):
    """The requested model cannot be loaded (offline, unknown, damaged)."""


class SandboxUnavailableError(UngradableError):
    """This machine has no sandbox of the requested strength."""


class AssessorUnavailableError(UngradableError):
    """The endpoint of `attn-grader assess` cannot be reached, refuses, or answers nothing that can be used."""


class PatchingError(AttnGraderError, ValueError):
    """An attention cannot be put into a model: unknown architecture, layer out of range, wrong result shape."""


class SubmissionError(AttnGraderError):
    """The student's code failed in a way that has a name.

    Args:
        name: one of the failure names of the report.
        message: what happened, in one or two plain sentences, with the offending value.
        remedy: what the student can do about it.
        where: ``file:line`` in the submission, when known.
        traceback: the student's frames, without those of this package.
    """

    def __init__(
        self, name: FailureName, message: str, *, remedy: str = "", where: str | None = None, traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.name: FailureName = name
        self.message = message
        self.remedy = remedy
        self.where = where
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        # An exception with keyword arguments does not survive pickling (xdist, process pools) by itself.
        words: dict[str, Any] = {"remedy": self.remedy, "where": self.where, "traceback": self.traceback}
        return partial(SubmissionError, self.name, self.message, **words), ()
