"""The command line of bubblewrap, and whether bubblewrap works here. Standard library only.

The worker sees a file system that holds nothing but the system's programs and libraries, this Python with its packages
and the submission's folder, all of it read-only, and a private, empty /tmp; no network, no other process, no home.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

PROGRAM = "bwrap"
PRIVATE_BYTES = 256 << 20  # in each of /tmp and /dev/shm: they are memory
_TRIAL_SECONDS = 10.0
# Programs and libraries. Of /etc only what the loader and Python ask for: other files there may be secrets.
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/etc/timezone",
    "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
)  # fmt: skip
# Root outside is the owner of these files inside too, whatever its number and capabilities there.
_KERNEL_SETTINGS = [f"/proc/{each}" for each in ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")]
_LIBRARY_VARIABLES = ("LD_LIBRARY_PATH",)
SET_VARIABLES = {"HOME": "/tmp", "TMPDIR": "/tmp"}


def unavailable_reason(*, user: int | None = None) -> str:
    """Say why bubblewrap cannot be used here, or "" when it can: found out by doing it, never by its version.

    Args:
        user: whether this one could use it, asked by root; None for the user of this process.
    """
    if not sys.platform.startswith("linux"):
        return "bubblewrap is for Linux"
    program = shutil.which(PROGRAM)
    if program is None:
        return "bubblewrap is not installed"
    return _trial_failure(program, user, _namespace_options(program))


@cache
def _namespace_options(program: str) -> tuple[str, ...]:
    """The strictest options that this version has and this kernel allows."""
    strict = ("--unshare-all", "--unshare-user", "--disable-userns")
    return ("--unshare-all",) if _trial_failure(program, None, strict) else strict


@cache
def _trial_failure(program: str, user: int | None, options: tuple[str, ...]) -> str:
    here = Path(__file__).resolve().parent
    inside = [sys.executable, "-I", "-S", "-c", "import ctypes, socket"]
    try:
        tried = subprocess.run(
            [*_command_for(program, options, here, [], [here]), *inside],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TRIAL_SECONDS,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here ({type(error).__name__})"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"]
    return f"bubblewrap does not work here ({said[-1][:200]})"


def program_path() -> str:
    """Return the path of bubblewrap; its bare name where it is not installed."""
    return shutil.which(PROGRAM) or PROGRAM


def bwrap_command(root: Path, import_paths: Iterable[str], code: Sequence[Path]) -> list[str]:
    """Return what comes before a command that runs it in new namespaces, with working directory `root`."""
    program = program_path()
    return _command_for(program, _namespace_options(program), root, import_paths, code)


def _command_for(
    program: str, options: Sequence[str], root: Path, import_paths: Iterable[str], code: Sequence[Path]
) -> list[str]:
    size = str(PRIVATE_BYTES)
    command = [program, *options, "--die-with-parent", "--cap-drop", "ALL", "--hostname", "sandbox"]
    for place in _SYSTEM:
        if os.path.islink(place):
            command += ["--symlink", os.readlink(place), place]
        else:
            command += ["--ro-bind-try", place, place]
    command += ["--proc", "/proc"]
    for place in _KERNEL_SETTINGS:
        command += ["--ro-bind-try", place, place]
    command += ["--ro-bind", "/dev/null", "/proc/keys"] if os.path.exists("/proc/keys") else []
    command += ["--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    command += ["--size", size, "--tmpfs", "/tmp"]
    for place in needed_places(root, import_paths, code):
        command += ["--ro-bind-try", place, place]
    # The grader lies among the packages, its reference too: of it, a worker sees what runs there.
    package = str(Path(__file__).resolve().parents[1])
    command += ["--tmpfs", package]
    for folder in map(str, code):
        command += ["--ro-bind", folder, folder]
    command += ["--remount-ro", package]
    # Everything else is the root that bubblewrap makes of nothing.
    command += ["--remount-ro", "/", "--chdir", str(root)]
    for name, value in SET_VARIABLES.items():
        command += ["--setenv", name, value]
    return [*command, "--"]


def needed_places(root: Path, import_paths: Iterable[str], code: Sequence[Path]) -> Sequence[str]:
    """The folders that a worker reads from, outer ones first, so that no binding hides one below it."""
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(sys.executable)}
    libraries = [each for name in _LIBRARY_VARIABLES for each in os.environ.get(name, "").split(os.pathsep)]
    wanted = {*python, *import_paths, *libraries, *map(str, code), str(root)}
    places: set[str] = set()
    for place in filter(os.path.isabs, wanted):
        # Both ends of a link: the name that is asked for, and what it leads to.
        places |= {os.path.normpath(place), os.path.realpath(place)}
    # The system's own are there already; "/" would bring everything back.
    system = tuple(f"{place}/" for place in ("/usr", "/lib", "/bin", "/sbin"))
    return sorted(place for place in places if place != "/" and os.path.exists(place) and not place.startswith(system))
