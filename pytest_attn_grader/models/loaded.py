"""What every source of models hands over, and how it says that it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ModelSource = Literal["hub", "cache", "path", "embedded"]


@dataclass(frozen=True)
class LoadedFiles:
    """What one source gives; fields as in LoadedModel. The model still lies on the CPU."""

    model: PreTrainedModel
    tokenizer: Any
    used: str
    source: ModelSource
    revision: str | None = None
    sha256: str | None = None
    fallback_reason: str | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be graded in: float32, eager attention, eval mode, on its device.

    Args:
        model: the transformer; its parameters still require gradients.
        tokenizer: the tokenizer that belongs to it.
        requested: what was typed.
        used: what was loaded: ``mini``, ``distilgpt2``, a hub id or a path.
        revision: the commit of a hub model, None for the others.
        sha256: of the weights file, computed from its bytes; None when the weights lie in several files.
        fallback_reason: why ``auto`` took the embedded model, None when it did not have to.
        source: where the bytes came from this time.
        device: where the model lies.
        load_seconds: from the request to the model on its device, download included.
    """

    model: PreTrainedModel
    tokenizer: Any
    requested: str
    used: str
    revision: str | None
    sha256: str | None
    fallback_reason: str | None
    source: ModelSource
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
