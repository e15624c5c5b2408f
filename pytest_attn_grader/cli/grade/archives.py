"""Unpack zip files of unknown origin: nothing outside the folder, no links, no bombs, damaged members reported."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from pytest_attn_grader.cli.grade.folders import MAX_DEPTH, SKIPPED_FOLDERS, UNREADABLE_SUFFIX, UnusableSubmissionError

MAX_ZIP_BYTES = 512 * 1024 * 1024
MAX_ZIP_FILES = 20_000
_CHUNK_BYTES = 1 << 20
_UTF8_FLAG = 0x800
_DRIVE = re.compile(r"^[A-Za-z]:$")
# Failures of this machine, not of the archive.
MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a folder, which is emptied before.

    In place of a member that is damaged, encrypted or a link, a file NAME.unreadable says so.

    Raises:
        UnusableSubmissionError: the file is not a zip, or is too large.
        OSError: the folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnusableSubmissionError(f"{archive.name} cannot be unpacked: {error}") from error
    with opened:
        members = opened.infolist()
        total = sum(member.file_size for member in members)
        if total > MAX_ZIP_BYTES or len(members) > MAX_ZIP_FILES:
            raise UnusableSubmissionError(
                f"{archive.name} holds {len(members)} files of {total / 1e6:.0f} MB unpacked; the limit is "
                f"{MAX_ZIP_FILES} files of {MAX_ZIP_BYTES / 1e6:.0f} MB. Unpack it, and name the folder"
            )
        space = MAX_ZIP_BYTES
        for member in members:
            parts = _safe_parts(member)
            if member.is_dir() or not parts or SKIPPED_FOLDERS & set(parts):
                continue
            target = folder.joinpath(*parts[-MAX_DEPTH:])
            try:
                space -= _extract(opened, member, target, space)
            except OSError as error:
                if error.errno in MACHINE_ERRORS:
                    raise
                _mark_unreadable(folder, parts, str(error.strerror))
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
                target.unlink(missing_ok=True)
                _mark_unreadable(folder, parts, str(error))


def _safe_parts(member: zipfile.ZipInfo) -> list[str]:
    """The parts of a member's path, without drives, roots and parent folders. Windows tools write backslashes."""
    name = member.filename
    if not member.flag_bits & _UTF8_FLAG:
        # Without the flag, zipfile decodes names as cp437; many tools write UTF-8 all the same.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    parts = name.replace("\\", "/").split("/")
    return [part for part in parts if part not in {"", ".", ".."} and not _DRIVE.match(part)]


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, space: int) -> int:
    """Write one member and return its size; sizes in headers are not trusted."""
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise ValueError("it is a link" if stat.S_ISLNK(mode) else "it is a special file")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # zipfile unpacks a whole chunk of these at once: of 500 bytes it makes gigabytes in memory.
        raise ValueError("it is compressed by another method than deflate")
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(member) as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > space:
                raise ValueError("it is larger than its header says")
            file.write(chunk)
    return written


def _mark_unreadable(folder: Path, parts: list[str], reason: str) -> None:
    name = parts[-1].encode("utf-8", "replace")[:100].decode("utf-8", "ignore")
    marker = folder.joinpath(*parts[:-1][-MAX_DEPTH:]) / f"{name}{UNREADABLE_SUFFIX}"
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        # A file has the name of the folder.
        marker = folder / marker.name
    marker.write_text(f"{os.path.basename(name)} cannot be unpacked: {reason}", encoding="utf-8", errors="replace")
