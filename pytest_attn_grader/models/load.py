"""Load the model that ``--attn-model`` names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from pytest_attn_grader.errors import ModelUnavailableError, PatchingError
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.devices import resolve_device
from pytest_attn_grader.models.hub import Hub, load_hub_model
from pytest_attn_grader.models.pretrained import load_folder
from pytest_attn_grader.models.types import (
    LoadedFiles,
    LoadedModel,
    ModelRequest,
    ModelSourceError,
    parse_model_request,
)

if TYPE_CHECKING:
    import torch

AUTO_MODEL = "distilgpt2"
# Models for many runs, by request and device; processes that are forked from this one inherit them.
_preloaded: dict[tuple[str, str], LoadedModel] = {}


def load_model(
    request: str = "auto", *, device: str = "auto", progress: bool = False, hub: Hub | None = None
) -> LoadedModel:
    """Load a pretrained transformer and its tokenizer.

    Args:
        request: ``auto`` (distilgpt2 when it is cached or the hub gives it, else ``mini``), ``mini`` or ``mini-llama``
            (in this package), ``smollm2`` (weights from a package index), a hub id (``distilgpt2``, ``owner/name``,
            ``owner/name@revision``) or the path of a folder.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        progress: show the progress bar of a download on stderr; without it nothing is printed at all.
        hub: which hub and cache to use; by default what huggingface_hub's environment variables say.

    Returns:
        The model in float32, with eager attention, in eval mode, and where it came from.

    Raises:
        UsageError: `request` cannot be a model, or `device` is not there.
        ModelUnavailableError: a named model is not available, or its attention cannot be replaced. Another model never
            takes its place.
    """
    started = perf_counter()
    target = resolve_device(device)
    wanted = parse_model_request(request)
    try:
        found = _find(wanted, hub or Hub.from_environment(), progress)
    except ModelSourceError as problem:
        raise ModelUnavailableError(f"Model {request!r} is not available: {problem.why}. {problem.remedy}") from problem
    module: torch.nn.Module = found.model
    module.to(target)  # modules move in place
    try:
        find_architecture(module)
    except PatchingError as problem:
        raise ModelUnavailableError(f"Nothing can be graded in model {request!r}: {problem}") from problem
    as_found = {field.name: getattr(found, field.name) for field in fields(found)}
    return LoadedModel(**as_found, requested=request, device=target, load_seconds=perf_counter() - started)


def preload_model(request: str, *, device: str, progress: bool = False) -> None:
    """Load a model, once, for `find_preloaded` in this process and in those forked from it; raises as `load_model`."""
    if (request, device) not in _preloaded:
        _preloaded[request, device] = load_model(request, device=device, progress=progress)


def find_preloaded(request: str, device: str) -> LoadedModel | None:
    """The model that was loaded before for exactly this request; None when there is none."""
    return _preloaded.get((request, device))


@contextmanager
def ignore_missing_widgets() -> Iterator[None]:
    """Keep a warning of tqdm's out of notebooks: it is given without ipywidgets, and no bar is shown here.

    transformers imports tqdm. Filters of warnings belong to the whole process, so this is for the main thread.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield


def _find(wanted: ModelRequest, hub: Hub, progress: bool) -> LoadedFiles:
    if wanted.kind == "embedded":
        return _load_embedded(wanted.name)
    if wanted.kind == "package":
        from pytest_attn_grader.models.smollm2 import load_smollm2

        return load_smollm2(progress=progress)
    if wanted.kind == "path":
        return _load_path(wanted.name)
    if wanted.kind == "hub":
        return load_hub_model(wanted.name, wanted.revision, hub=hub, progress=progress)
    try:
        return load_hub_model(AUTO_MODEL, None, hub=hub, progress=progress)
    except ModelSourceError as problem:
        return _load_embedded("mini", fallback_reason=f"{AUTO_MODEL} is not available: {problem.why}")


def _load_path(path: str) -> LoadedFiles:
    folder = Path(path).expanduser()
    if folder.is_file():
        raise ModelSourceError(f"{folder} is a file", f"Name the folder that it lies in: {folder.parent}.")
    if not folder.is_dir():
        raise ModelSourceError(f"there is no folder {folder.absolute()}", "Check the spelling of the path.")
    model, tokenizer, sha256 = load_folder(folder, remedy="Copy or save the model there again.")
    return LoadedFiles(model, tokenizer, used=path, source="path", sha256=sha256)


def _load_embedded(name: str, *, fallback_reason: str | None = None) -> LoadedFiles:
    from pytest_attn_grader.models.mini import load_mini, mini_checksum

    sha256 = mini_checksum(name)
    return LoadedFiles(*load_mini(name), name, "embedded", sha256=sha256, fallback_reason=fallback_reason)
