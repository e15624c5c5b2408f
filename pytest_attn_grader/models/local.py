"""A model from a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.models.pretrained import load_folder
from pytest_attn_grader.models.types import LoadedFiles, ModelSourceError

_REMEDY = "Copy or save the model there again."


def load_path(path: str) -> LoadedFiles:
    """Load the model in the folder `path` (``~`` is the home folder).

    Raises:
        ModelSourceError: there is no such folder, or what it holds cannot be loaded.
    """
    folder = Path(path).expanduser()
    if folder.is_file():
        raise ModelSourceError(f"{folder} is a file", f"Name the folder that it lies in: {folder.parent}.")
    if not folder.is_dir():
        raise ModelSourceError(f"there is no folder {folder.absolute()}", "Check the spelling of the path.")
    model, tokenizer, sha256 = load_folder(folder, remedy=_REMEDY)
    return LoadedFiles(model, tokenizer, used=path, source="path", sha256=sha256)
