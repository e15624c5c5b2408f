"""Find what `--attn-student` names, without running any of it."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.submission.worker.ipython_syntax import is_python, read_code_cells, translate_cell

if TYPE_CHECKING:
    from pytest_attn_grader.misconceptions.source import SubmissionSource

_MAX_SOURCE_BYTES = 5_000_000
_MAX_SOURCES_BYTES = 20_000_000  # of all files together
_MAX_ANALYSED_CHARS = 200_000  # a diagnosis from a longer text would take minutes
SOURCE_SUFFIXES = (".py", ".ipynb")


@dataclass(frozen=True)
class Target:
    """A submission on disk.

    Attributes:
        typed: what the user wrote, as shown in messages and in the report.
        path: the source file.
        module: the dotted name it is imported under.
        name: the attribute to grade, when the user chose one.
        root: the folder that holds the module or its top-level package: the worker's working directory.
        live: a module of this process that is graded instead of the file (`grade()`, in the tier `none`).
    """

    typed: str
    path: Path
    module: str
    name: str | None
    root: Path
    live: ModuleType | None = field(default=None, repr=False, compare=False)

    @cached_property
    def source(self) -> SubmissionSource:
        """The Python of its file; of a notebook, of the cells that Python can read; "" where it is very long."""
        from pytest_attn_grader.misconceptions.source import SubmissionSource  # imports torch

        parts = python_parts(self.path, read_sources(self)[self.path].decode(errors="replace"))
        if sum(map(len, parts)) > _MAX_ANALYSED_CHARS:
            return SubmissionSource()
        return SubmissionSource(parts[0] if len(parts) == 1 else "\n".join(part for part in parts if is_python(part)))


def find_target(typed: str, invocation_dir: Path, search_path: Sequence[str] | None = None) -> Target:
    """Turn ``module``, ``pkg.module``, ``path/to/file.py``, each with an optional ``:NAME``, into a `Target`.

    Raises:
        UsageError: there is no such module or file, or it is a folder; the message says where was looked.
    """
    place, name = _split_name(typed)
    if name is not None and not name.isidentifier():
        raise UsageError(
            f"--attn-student={typed}: {name!r} after the colon is not a Python name. Write {place}:attention"
        )
    _check_encodable(invocation_dir / place, typed)
    try:
        if _looks_like_path(place, name, invocation_dir):
            return _target_at(invocation_dir / os.path.expanduser(place), typed, name)
        return _target_named(place, typed, name, invocation_dir, sys.path if search_path is None else search_path)
    except OSError as error:
        raise UsageError(
            f"--attn-student={typed} cannot be looked up ({error.strerror}). "
            "Name a module (pkg.module) or a file (path/to/file.py)."
        ) from error


def _check_encodable(path: Path, typed: str) -> None:
    """Refuse a name that this process cannot decode: neither the worker nor a report could be given it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"--attn-student={typed}: the path has characters that are not in this system's encoding, "
            f"{sys.getfilesystemencoding()}. Set PYTHONUTF8=1, or rename the file."
        ) from None


def _split_name(typed: str) -> tuple[str, str | None]:
    place, colon, name = typed.rpartition(":")
    # What follows the colon of a drive (C:\path, C:file.py) is no name.
    if not colon or "/" in name or "\\" in name or (len(place) == 1 and name.endswith(".py")):
        return typed, None
    # pytest's own spelling has two colons: file.py::NAME.
    return place.removesuffix(":") if len(place) > 2 else place, name


def _looks_like_path(place: str, name: str | None, invocation_dir: Path) -> bool:
    if place.endswith(SOURCE_SUFFIXES) or "/" in place or "\\" in place:
        return True
    folder = invocation_dir / place
    # With a name after it a package is a module; without one, what lies in it is the better answer.
    return folder.is_dir() and (name is None or not (folder / "__init__.py").is_file())


def _target_at(path: Path, typed: str, name: str | None) -> Target:
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.py"))
        listing = f" It holds {_some(inside)}." if inside else " It holds no Python file."
        raise UsageError(
            f"--attn-student={typed} is a folder; name the file in it, as in {path.name}/attention.py.{listing}"
        )
    if not path.is_file():
        nearby = path.parent.glob("*.py") if path.parent.is_dir() else ()
        raise UsageError(f"--attn-student={typed}: there is no file {path}.{_did_you_mean(path.name, nearby)}")
    if path.suffix not in SOURCE_SUFFIXES:
        raise UsageError(f"--attn-student={typed}: {path.name} is not a Python file (.py).")
    path = path.resolve()
    root = path.parent
    if path.suffix == ".ipynb":
        return Target(typed=typed, path=path, module=_module_name(path.stem), name=name, root=root)
    if "." in path.stem:
        # attention.v2.py: a dot would make a package of the name.
        return Target(typed=typed, path=path, module=path.stem.replace(".", "_"), name=name, root=root)
    parts = [path.stem]
    while (root / "__init__.py").is_file() and root.name and "." not in root.name:
        parts.insert(0, root.name)
        root = root.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return Target(typed=typed, path=path, module=".".join(parts), name=name, root=root)


def _module_name(stem: str) -> str:
    """A notebook may be called "Week 3 - attention": no dots, blanks or dashes in a module's name."""
    plain = "".join(letter if letter.isidentifier() or letter.isdigit() else "_" for letter in stem)
    return plain if plain.isidentifier() else f"notebook_{plain}"


def _target_named(place: str, typed: str, name: str | None, invocation_dir: Path, search_path: Sequence[str]) -> Target:
    parts = place.split(".")
    if not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"--attn-student={typed}: {place!r} is neither a module (pkg.module) nor a file (path/to/file.py)."
        )
    # The folder the user stands in comes first: a submission called `attention` must not lose to such a library.
    folders = [str(invocation_dir), *(entry for entry in search_path if entry)]
    where: Sequence[str] | None = folders
    for depth in range(1, len(parts) + 1):
        # Only the last part: with dots, a folder without __init__.py is looked up among the modules already imported.
        spec = PathFinder.find_spec(parts[depth - 1], where)
        if spec is None:
            nearby = [Path(folder) for folder in (folders[:1] if depth == 1 else list(where or ()))]
            files = [file for folder in nearby if folder.is_dir() for file in folder.glob("*.py")]
            raise UsageError(
                f"--attn-student={typed}: there is no module {'.'.join(parts[:depth])!r} in "
                f"{invocation_dir if depth == 1 else '.'.join(parts[: depth - 1])} or on the Python path."
                f"{_did_you_mean(parts[depth - 1] + '.py', files)}"
            )
        where = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if depth < len(parts) and where is None:
            raise UsageError(
                f"--attn-student={typed}: {'.'.join(parts[:depth])!r} is a module, not a package; "
                f"to choose something inside it write {'.'.join(parts[:depth])}:{parts[depth]}"
            )
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(
            f"--attn-student={typed}: {place!r} is a folder or a compiled module; name a Python file in it."
        )
    path = Path(spec.origin).resolve()
    depth = len(parts) - (0 if path.name == "__init__.py" else 1)
    root = path.parents[depth] if path.name != "__init__.py" else path.parents[len(parts)]
    return Target(typed=typed, path=path, module=place, name=name, root=root)


def _did_you_mean(wanted: str, files: Iterable[Path]) -> str:
    names = sorted({file.name for file in files if not file.name.startswith("_")})
    # Without the suffixes: they alone make x.py look like y.py.
    close = difflib.get_close_matches(wanted.removesuffix(".py"), [name.removesuffix(".py") for name in names], n=1)
    if close:
        return f" Did you mean {close[0]}.py?"
    return f" There are {_some(names)}." if names else " There is no Python file there."


def _some(names: list[str], most: int = 5) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


def read_sources(target: Target, reported_files: Iterable[str] = ()) -> dict[Path, bytes]:
    """The submission's sources: the target file, first, and the helpers it imported from below its root.

    The list of helpers comes from the worker and is not trusted: only existing files below the root count. A submission
    can delete its file while it runs. A missing file counts as empty.
    """
    contents = {target.path: _content(target.path) or b""}
    for reported in reported_files:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # no path at all, or a link that leads to itself
            file = (target.root / reported).resolve()
            if file in contents or not file.is_relative_to(target.root):
                continue
            content = _content(file) if sum(map(len, contents.values())) < _MAX_SOURCES_BYTES else None
            if content is not None:
                contents[file] = content
    return contents


def python_parts(file: Path, text: str) -> list[str]:
    """The Python of a file: of a notebook each cell, and what a cell writes to a file."""
    if file.suffix != ".ipynb":
        return [text]
    try:
        translated = [translate_cell(source) for source in read_code_cells(text)]
    except (ValueError, RecursionError):
        return []
    return [part for cell in translated for part in (cell.source, cell.written_text)]


def hash_sources(target: Target, reported_files: Iterable[str] = ()) -> str:
    """sha256 over the submission's sources, as `read_sources` has them."""
    return hash_contents(target, read_sources(target, reported_files))


def hash_contents(target: Target, contents: Mapping[Path, bytes]) -> str:
    """sha256 over sources that have been read already."""
    digest = hashlib.sha256()
    for file in sorted(contents):
        digest.update(file.relative_to(target.root).as_posix().encode() + b"\0" + contents[file] + b"\0")
    return digest.hexdigest()


def _content(file: Path) -> bytes | None:
    """The bytes of an ordinary file of a source's size; None for anything else (a pipe would never end).

    All is asked of the open file: a submission that runs can put another one in its place, or make it longer.
    """
    with contextlib.suppress(OSError), open(file, "rb", opener=_open_without_waiting) as source:
        if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            content = source.read(_MAX_SOURCE_BYTES + 1)
            return content if len(content) <= _MAX_SOURCE_BYTES else None
    return None


def _open_without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))
