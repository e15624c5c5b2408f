"""The archive that Gradescope runs: `setup.sh` once, `run_autograder` for every submission."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from pathlib import Path

from pytest_attn_grader.cli.init.templating import current_requirement, fill
from pytest_attn_grader.errors import UsageError

FILES = ("setup.sh", "run_autograder", "pytest.ini", "README.md")
_SCRIPTS = {"setup.sh", "run_autograder"}
# The same archive from the same words: an image is built anew only when something has changed.
_WHEN = (2020, 1, 1, 0, 0, 0)


def build_autograder(
    out: Path, *, student: str = "my_attention.py", model: str = "mini", grader: str = "", wheel: Path | None = None
) -> None:
    """Write the archive, whole or not at all.

    Args:
        student: the file that students upload, with `:NAME` when it has several functions.
        model: as `--attn-model`; `mini` needs no download.
        grader: the requirement that installs the grader; this version when empty.
        wheel: a wheel of the grader that goes into the archive and is installed from there.

    Raises:
        UsageError: a value cannot stand in a script, or there is no such wheel.
        OSError: the archive cannot be written.
    """
    if wheel is not None and (wheel.suffix != ".whl" or not wheel.is_file()):
        raise UsageError(f"{wheel} is no wheel. Build one with `python -m build --wheel`.")
    words = {"STUDENT": student, "MODEL": model, "GRADER": grader or current_requirement()}
    contents = {name: fill(f"gradescope/{name}", words).encode() for name in FILES}
    if wheel is not None:
        contents[wheel.name] = wheel.read_bytes()
    descriptor, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                entry = zipfile.ZipInfo(name, _WHEN)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix: what follows are its modes
                entry.external_attr = (stat.S_IFREG | (0o755 if name in _SCRIPTS else 0o644)) << 16
                archive.writestr(entry, content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
