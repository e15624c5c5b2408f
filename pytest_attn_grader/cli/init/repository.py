"""A repository for a student: a starter, and a workflow that grades every pull request with read-only permissions."""

from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.cli.init.templating import current_requirement, fill
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.models.hub import PINNED_MODELS

# Where each template goes.
FILES = {
    "my_attention.py.txt": "my_attention.py",
    "README.md": "README.md",
    "pytest.ini": "pytest.ini",
    "requirements.txt": "requirements.txt",
    "gitignore": ".gitignore",
    "grade.yml": ".github/workflows/grade.yml",
}


def write_repository(folder: Path, *, grader: str = "") -> tuple[Path, ...]:
    """Write it and return its files.

    Args:
        grader: the requirement that installs the grader; this version when empty.

    Raises:
        UsageError: one of the files is there already; nothing has been written.
        OSError: the folder cannot be written.
    """
    words = {"GRADER": grader or current_requirement(), "REVISION": PINNED_MODELS[0].revision}
    texts = {folder / place: fill(f"repository/{template}", words) for template, place in FILES.items()}
    there = [path.relative_to(folder).as_posix() for path in texts if path.exists() or path.is_symlink()]
    if there:
        raise UsageError(f"{folder} has {', '.join(there)} already; nothing was written. Name a new folder.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x" refuses what has come there in the meantime.
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return tuple(texts)
