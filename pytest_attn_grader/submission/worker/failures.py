"""Turn any exception of student code into plain data: a name, a sentence, a place, the student's own frames.

Part of the worker: imports the standard library only. Everything here touches objects the student made, whose `str`,
`repr` and attributes may raise in turn, so the outermost step has a fallback that touches nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import linecache
import os
import re
import sys
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

# Stands for a folder that is used as a package without being one; it is not shown.
PACKAGE = "submission_package"
MAX_FRAMES = 20
MAX_MESSAGE_CHARS = 2000
_INSTALLED = ("site-packages", "dist-packages")
# What the system says when a limit is reached that it holds a process to.
_LIMIT_ERRORS = {
    errno.EMFILE: "too-many-files",
    errno.EFBIG: "file-too-large",
    errno.EAGAIN: "too-many-processes",
}
_LIMIT_REMEDIES = {
    "too-many-files": "Close what you open, or open nothing: attention needs no files.",
    "file-too-large": "Attention writes no files.",
    "too-many-processes": "Attention needs no other process and no thread.",
}
_USUAL_IMPORTS = {
    "torch": "import torch",
    "math": "import math",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "np": "import numpy as np",
}
_NUMPY_REMEDY = "Use torch where it calls numpy: query, key, value and mask are torch tensors, with gradients."
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_HERE = Path(__file__).resolve().parent
_WORKER_FOLDERS = (_HERE, _HERE.parents[1] / "sandbox" / "worker")
_STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]


class WorkerError(Exception):
    """A failure the worker itself words: it has a name and a remedy and no traceback."""

    def __init__(self, name: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.remedy = remedy


def describe_failure(error: BaseException, root: Path, *, importing: bool) -> dict[str, Any]:
    """Return the failure as JSON-ready data, whatever the exception is made of."""
    try:
        return _describe(error, root, importing=importing)
    except BaseException:  # noqa: BLE001 - the exception's own class is student code too and may raise anything
        message = "The code raised an exception that cannot be shown: showing it raises another one."
        return _failure("import-error" if importing else "raised", message, "Give the exception a working __str__.")


def truncate(value: object, max_chars: int) -> str:
    """Return the text of a value, cut to a length and free of what UTF-8 cannot hold."""
    text = str(value)
    text = str.encode(text[: max_chars + 1], "utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def safe_repr(value: object, max_chars: int) -> str:
    """Return the repr of a student's object without its address, or the name of its class when that raises."""
    try:
        return _ADDRESS.sub("", truncate(repr(value), max_chars))
    except BaseException as error:  # noqa: BLE001 - a student's __repr__ may raise anything
        return f"<{truncate(type(value).__name__, 80)}: its repr raised {truncate(type(error).__name__, 80)}>"


def with_article(noun: str) -> str:
    """Return ``a list``, ``an int``."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def is_student_file(file: str, root: Path) -> bool:
    """Tell whether a file is the student's: below the root, and not in an environment installed there."""
    if os.path.normcase(root.name) not in os.path.normcase(file):
        return False  # as most of a few thousand modules are, found without taking their paths apart
    # Generated code ("<frozen …>", "<string>") and torch's own pseudo-modules have no absolute path.
    path = Path(file)
    if not path.is_absolute() or not path.is_relative_to(root) or path.is_relative_to(_STANDARD_LIBRARY):
        return False
    # Running from a source tree, the worker's own frames may lie below the root.
    return not any(part in _INSTALLED for part in path.parts) and path.parent not in _WORKER_FOLDERS


def relative_to(file: str, root: Path) -> str:
    """Return the file's path from the root where it lies below it, otherwise its name only."""
    path = Path(os.path.abspath(file))
    return truncate(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name, 400)


def _describe(error: BaseException, root: Path, *, importing: bool) -> dict[str, Any]:
    if isinstance(error, WorkerError):
        return _failure(error.name, str(error), error.remedy)
    frames = _student_frames(error.__traceback__, root)
    shown = _show(error)
    where = frames[-1][0] if frames else None
    text = _traceback_text(frames, shown)
    when = " while the submission was imported" if importing else ""
    if isinstance(error, SystemExit):
        message = f"The code ended the process (SystemExit, code {safe_repr(error.code, 80)}){when}."
        return _failure("exited", message, "Remove the call to exit() or sys.exit().", where, text)
    if _is_out_of_memory(error):
        message = f"The memory limit was reached{when}: {shown}"
        return _failure("out-of-memory", message, "Look for tensors that are larger than the scores.", where, text)
    limit = _limit_reached(error)
    if limit is not None:
        return _failure(limit, f"A limit was reached{when}: {shown}", _LIMIT_REMEDIES[limit], where, text)
    failed_import = _describe_import_failure(error, root, where, text, shown)
    return failed_import if importing else _failure("raised", shown, failed_import["remedy"], where, text)


def _describe_import_failure(
    error: BaseException, root: Path, where: str | None, text: str, shown: str
) -> dict[str, Any]:
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{relative_to(error.filename, root)}:{error.lineno}"
        line = (error.text or linecache.getline(error.filename, error.lineno or 0)).strip()
        message = f"{type(error).__name__}: {error.msg} in line {error.lineno}: {line}"
        return _failure("import-error", message, f"Correct {place}.", place, text)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.startswith(f"{PACKAGE}."):
        name = error.name.removeprefix(PACKAGE)
        message = f"The submission imports {name!r}, and there is no such file beside it."
        return _failure("import-error", message, "Hand in that file too, or do without it.", where, text)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.rpartition(".")[0] in sys.modules:
        package, _, name = error.name.rpartition(".")
        message = f"The submission imports {error.name!r}, and the package {package!r} has no module {name!r}."
        return _failure("import-error", message, f"Correct the spelling of {name!r}.", where, text)
    if isinstance(error, ModuleNotFoundError) and error.name:
        message = f"The submission imports {error.name!r}, which is not installed here."
        remedy = (
            f"Do without {error.name!r}, or install it. If it is your own, put it beside the submission, or name the "
            "submission from your project's folder, as in --attn-student=package.module."
        )
        return _failure("import-error", message, remedy, where, text)
    return _failure("import-error", f"Importing the submission raised {shown}", _remedy(error), where, text)


def _failure(name: str, message: str, remedy: str = "", where: str | None = None, text: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "message": truncate(message, MAX_MESSAGE_CHARS),
        "remedy": truncate(remedy, MAX_MESSAGE_CHARS),
        "where": where,
        "traceback": text,
    }


def _show(error: BaseException) -> str:
    name = truncate(type(error).__name__, 200)
    try:
        words = truncate(error, MAX_MESSAGE_CHARS).replace(f"{PACKAGE}.", ".")
    except BaseException as second:  # noqa: BLE001 - a student's __str__ may raise anything
        return f"{name} (its __str__ raised {truncate(type(second).__name__, 80)})"
    return f"{name}: {words}" if words else name


def _student_frames(start: TracebackType | None, root: Path) -> list[tuple[str, str, str]]:
    """Return (place, function, source line) of the student's frames: the first few and the last ones."""
    found: list[tuple[str, int, str]] = []
    half = MAX_FRAMES // 2
    for frame, line in walk_tb(start):
        code = frame.f_code
        if is_student_file(code.co_filename, root):
            found.append((code.co_filename, line, code.co_name))
            if len(found) > MAX_FRAMES:
                del found[half]  # deep recursion: keep both ends
    return [
        (
            f"{relative_to(file, root)}:{line}",
            truncate(function, 100),
            truncate(linecache.getline(file, line).strip(), 300),
        )
        for file, line, function in found
    ]


def _traceback_text(frames: list[tuple[str, str, str]], shown: str) -> str:
    lines = [f"{place} in {function}\n    {source}" for place, function, source in frames]
    if len(lines) >= MAX_FRAMES:
        lines.insert(MAX_FRAMES // 2, "…")
    return truncate("\n".join([*lines, shown]), 8000)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, (RuntimeError, OSError)):
        with contextlib.suppress(Exception):
            words = str(error)
            return any(
                sign in words for sign in ("can't allocate memory", "not enough memory", "Cannot allocate memory")
            )
    return False


def _limit_reached(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _LIMIT_ERRORS.get(error.errno or 0)
    return "too-many-processes" if isinstance(error, RuntimeError) and "can't start new thread" in str(error) else None


def _remedy_for_name(name: str) -> str:
    if name in _USUAL_IMPORTS or name in sys.stdlib_module_names:
        line = _USUAL_IMPORTS.get(name, f"import {name}")
        return f"Write {line!r} at the top of the file."
    close = difflib.get_close_matches(name, ["query", "key", "value", "mask", *_USUAL_IMPORTS], n=1)
    return f"Define {name!r} or import it." + (f" Did you mean {close[0]!r}?" if close else "")


def _remedy(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "A function calls itself without end: look at the condition that should stop it."
    if isinstance(error, NameError) and error.name is not None:
        return _remedy_for_name(error.name)
    if isinstance(error, AttributeError) and not _comes_from_numpy(error):
        return _remedy_for_attribute(error)
    if isinstance(error, NotImplementedError) and packages_of(error)[-1:] != ["torch"]:
        return "Write the part that is still to be done."
    if type(error).__module__.startswith("_pytest"):
        return "Remove the call into pytest: a skip in a submission counts as a failure."
    return _NUMPY_REMEDY if _comes_from_numpy(error) else ""


def packages_of(error: BaseException) -> list[str]:
    """The packages whose code was running, from the outermost to the one that raised."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame in frames]


def _comes_from_numpy(error: BaseException) -> bool:
    """Whether the code called numpy: a frame below the student's, or numpy's own words."""
    own_words = isinstance(error, (AttributeError, RuntimeError, TypeError)) and "numpy" in str(error)
    return own_words or "numpy" in packages_of(error)


def _remedy_for_attribute(error: AttributeError) -> str:
    """Of the student's own object: which attribute was meant."""
    words = str(error)
    if "before Module.__init__() call" in words:
        return "Call super().__init__() in the first line of __init__."
    if "the grader's config has no" in words:
        return "Use one of these names in the constructor."
    missing = re.fullmatch(r"'(\w+)' object has no attribute '(\w+)'", words)
    if missing is None:
        return ""
    owner = _own_object(error.__traceback__, missing[1])
    if owner is None:
        return ""
    if type(owner).__module__.startswith("torch."):
        return _remedy_for_layer(missing[1], missing[2])
    there = {**vars(owner), **vars(owner).get("_modules", {}), **vars(owner).get("_parameters", {})}
    close = difflib.get_close_matches(missing[2], [name for name in there if not name.startswith("_")], n=1)
    meant = f" Did you mean self.{close[0]}?" if close else ""
    return f"Set self.{missing[2]} in __init__, or correct the name.{meant}"


def _remedy_for_layer(class_name: str, attribute: str) -> str:
    """Of a layer of PyTorch's: whether its result has what it lacks itself."""
    import torch  # it has been imported, with the layer

    is_of_result = hasattr(torch.Tensor, attribute)
    return f"Call the layer: {class_name} is the layer itself, and its result is a tensor." if is_of_result else ""


def _own_object(start: TracebackType | None, class_name: str) -> object | None:
    """The `self` of this class in one of the frames."""
    found = None
    for frame, _ in walk_tb(start):
        candidate = frame.f_locals.get("self")
        if type(candidate).__name__ == class_name and hasattr(candidate, "__dict__"):
            found = candidate
    return found
