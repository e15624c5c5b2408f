"""Turn a worker's exit status or reported failure into a `SubmissionError`. Standard library only."""

from __future__ import annotations

import re
import signal
from typing import Any, get_args

from pytest_attn_grader.errors import FailureName, SubmissionError
from pytest_attn_grader.sandbox.worker.limits import Limits

OPERATIONS = {"describe": "importing the submission", "backward": "the backward pass"}  # anything else is a call
WIRE_REMEDY = "A submission must not write to file descriptors it did not open."
_MAX_CHARS = {"message": 2000, "remedy": 2000, "where": 500, "traceback": 8000}
_LONG_NUMBER = re.compile(r"\d{100,}")  # int() refuses one of thousands of digits
_FAILURE_NAMES = frozenset(get_args(FailureName))


def from_flood(limits: Limits) -> SubmissionError:
    """Return the failure of a submission that has printed too much."""
    return SubmissionError(
        "output-flood",
        f"The code printed more than {limits.output_bytes} bytes.",
        remedy="Remove print calls from loops.",
    )


def from_restarts() -> SubmissionError:
    """Return the failure of a submission that has ended so many workers that the run is over before the next is up."""
    message = "The submission ended its process so often that the time of the run was over."
    return SubmissionError("timeout", message, remedy="Find out why the process ends.")


def from_timeout(operation: str, seconds: float) -> SubmissionError:
    """Return the failure of a request that was not answered in time."""
    doing = OPERATIONS.get(operation, "the call")
    remedy = "Look for an endless loop, or Python loops over positions where one matrix product does the work."
    if operation == "describe":
        remedy = (
            "Look for downloads (the sandbox has no network), training and plots outside of functions: the import "
            "runs them. Put them under if __name__ == '__main__':"
        )
    return SubmissionError("timeout", f"After {seconds:g} s {doing} had not ended and was stopped.", remedy=remedy)


def from_supervisor_note(note: str, doing: str, limits: Limits) -> SubmissionError | None:
    """Return what there was too much of, by the supervisor's note; None when it has not ended the worker by itself."""
    if note == "too-many-processes":
        return SubmissionError(
            "too-many-processes",
            f"During {doing} there were more than {limits.processes} processes; all of them were ended.",
            remedy="Attention needs no other process: remove fork, subprocess and multiprocessing.",
        )
    if note == "out-of-memory":
        return SubmissionError(
            "out-of-memory",
            f"During {doing} the processes together took more than {(limits.memory_bytes or 0) >> 20} MiB.",
            remedy="Look for tensors that are larger than the scores.",
        )
    return None


def from_exit_status(status: int, doing: str, limits: Limits) -> SubmissionError:
    """Return what a process's exit status means for the submission; negative is the signal that ended it."""
    if status >= 0:
        return SubmissionError(
            "exited", f"During {doing} the code ended the process with exit code {status}.", remedy="Remove os._exit."
        )
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGXCPU":
        return SubmissionError(
            "out-of-cpu-time",
            f"During {doing} the worker used up its {limits.cpu_seconds} s of processor time.",
            remedy="Look for an endless loop or thread.",
        )
    if name == "SIGXFSZ":
        return SubmissionError(
            "file-too-large",
            f"During {doing} a file grew over {limits.file_size_bytes} bytes.",
            remedy="Attention writes no files.",
        )
    hint = " (the system does this when memory runs out)" if name == "SIGKILL" else ""
    return SubmissionError(
        "crashed", f"During {doing} the process was ended by {name}{hint}.", remedy="Run the file by itself to see it."
    )


def student_failure(failure: Any) -> SubmissionError | None:
    """Return the failure that a worker reports; None when it cannot be read."""
    name = failure.get("name") if isinstance(failure, dict) else None
    if not isinstance(name, str) or name not in _FAILURE_NAMES:
        return None
    words = {key: _LONG_NUMBER.sub("…", str(failure.get(key) or "")[:most]) for key, most in _MAX_CHARS.items()}
    return SubmissionError(
        failure["name"],
        words["message"],
        remedy=words["remedy"],
        where=words["where"] or None,
        traceback=words["traceback"],
    )
