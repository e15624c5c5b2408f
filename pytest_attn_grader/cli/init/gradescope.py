"""Build the autograder zip for Gradescope: it runs `setup.sh` once and `run_autograder` for every submission."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from pytest_attn_grader.cli.init.templates import current_requirement, render_template
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.atomic_write import write_bytes_atomically

FILES = ("setup.sh", "run_autograder", "pytest.ini", "README.md")
_SCRIPTS = {"setup.sh", "run_autograder"}
# A fixed date, so that equal contents give an equal zip and Gradescope does not rebuild its image.
_ENTRY_DATE = (2020, 1, 1, 0, 0, 0)


def build_autograder(
    out: Path, *, student: str = "my_attention.py", model: str = "mini", grader: str = "", wheel: Path | None = None
) -> None:
    """Write the zip atomically.

    Args:
        grader: the requirement that installs the grader; this version when empty.
    """
    if wheel is not None and (wheel.suffix != ".whl" or not wheel.is_file()):
        raise UsageError(f"{wheel} is not a wheel. Build one with `python -m build --wheel`.")
    values = {"STUDENT": student, "MODEL": model, "GRADER": grader or current_requirement()}
    contents = {name: render_template(f"gradescope/{name}", values).encode() for name in FILES}
    if wheel is not None:
        contents[wheel.name] = wheel.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _ENTRY_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, so that external_attr holds file modes
            entry.external_attr = (stat.S_IFREG | (0o755 if name in _SCRIPTS else 0o644)) << 16
            archive.writestr(entry, content)
    write_bytes_atomically(out, packed.getvalue())
