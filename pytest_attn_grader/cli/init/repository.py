"""Write a repository for students: starter code, and a read-only workflow that grades pull requests."""

from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.cli.init.templates import TEMPLATES, current_requirement, render_template
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.models.hub import PINNED_MODELS

# Template -> path in the repository.
FILES = {
    "my_attention.py.txt": "my_attention.py",
    "README.md": "README.md",
    "pytest.ini": "pytest.ini",
    "requirements.txt": "requirements.txt",
    "gitignore": ".gitignore",
    "grade.yml": ".github/workflows/grade.yml",
}

NOTEBOOK = "attention.ipynb"


def write_repository(folder: Path, *, grader: str = "", notebook: bool = False) -> tuple[Path, ...]:
    """Write the files and return their paths.

    Args:
        grader: the requirement that installs the grader; this version when empty.
    """
    values = {"GRADER": grader or current_requirement(), "REVISION": PINNED_MODELS[0].revision}
    texts = {folder / place: render_template(f"repository/{template}", values) for template, place in FILES.items()}
    if notebook:
        texts[folder / NOTEBOOK] = (TEMPLATES / "notebook" / NOTEBOOK).read_text(encoding="utf-8")
    existing = [path.relative_to(folder).as_posix() for path in texts if path.exists() or path.is_symlink()]
    if existing:
        raise UsageError(f"{folder} has {', '.join(existing)} already; nothing was written. Name a new folder.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": never overwrite a file that another process has just created.
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return tuple(texts)
