"""Types of this package: the model that is requested, what a source gives, the model that is loaded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_attn_grader.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ModelSource = Literal["hub", "cache", "path", "embedded", "package"]

# The models in this package: a GPT-2 and a Llama.
EMBEDDED_MODELS = ("mini", "mini-llama")
# The model whose weights come from a package.
PACKAGED_MODEL = "smollm2"

# A hub id is `name` or `owner/name` of at most 96 characters: letters, digits and, inside a name, "-", "_" and ".".
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"(?P<repo>{_NAME}(?:/{_NAME})?)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class ModelRequest:
    """A request that has been understood.

    Args:
        name: hub id without its revision, the path as typed, or the name of a model of this package.
        revision: what followed the ``@`` of a hub id.
    """

    kind: Literal["auto", "embedded", "package", "path", "hub"]
    name: str
    revision: str | None = None


def parse_model_request(value: str) -> ModelRequest:
    """Understand the value of ``--attn-model``.

    An existing folder is always a path, and so is what starts like one (``.``, ``~``, a separator, a drive).

    Raises:
        UsageError: it can be neither the name of a model nor a path.
    """
    if value == "auto":
        return ModelRequest("auto", value)
    if value in EMBEDDED_MODELS:
        return ModelRequest("embedded", value)
    if value == PACKAGED_MODEL:
        return ModelRequest("package", value)
    if _looks_like_path(value):
        return ModelRequest("path", value)
    hub_id = _HUB_ID.fullmatch(value)
    if hub_id is None or len(hub_id["repo"]) > 96 or ".." in value or "--" in hub_id["repo"]:
        raise UsageError(
            f"{value!r} is not the name of a model: it has to be 'auto', 'mini', 'mini-llama', 'smollm2', a hub id "
            "such as 'distilgpt2' or 'owner/name' (with '@revision' if need be), or the path of a folder, which starts "
            "with './', '~' or '/'."
        )
    return ModelRequest("hub", hub_id["repo"], hub_id["revision"])


def _looks_like_path(value: str) -> bool:
    return bool(value) and (value.startswith((".", "~", "/", os.sep)) or os.path.isabs(value) or Path(value).exists())


@dataclass(frozen=True)
class LoadedFiles:
    """The model that one source gives, still on the CPU.

    Args:
        model: the transformer: in float32, with eager attention, in eval mode; its parameters still require gradients.
        used: what was loaded: ``mini``, ``mini-llama``, ``smollm2``, ``distilgpt2``, a hub id or a path.
        source: where the bytes came from this time.
        revision: the commit of a hub model; package, version and file of ``smollm2``; None for the others.
        sha256: of the weights file, computed from its bytes; None when the weights lie in several files.
        fallback_reason: why ``auto`` took the embedded model, None when it did not have to.
    """

    model: PreTrainedModel
    tokenizer: Any
    used: str
    source: ModelSource
    revision: str | None = None
    sha256: str | None = None
    fallback_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedModel(LoadedFiles):
    """A model ready to be graded in.

    Args:
        load_seconds: from the request to the model on its device, download included.
    """

    requested: str
    device: torch.device
    load_seconds: float


class ModelSourceError(Exception):
    """A source cannot give the model; ``load_model`` makes a ModelUnavailableError of it, or a fallback.

    Args:
        why: a clause without a full stop: "the hub at … does not answer".
        remedy: whole sentences: what to do about it.
    """

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy
