"""A stand-in for the layer that calls an attention function: eager_attention_forward(module, …). Part of the worker."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from .config_stub import Config
from .inspection import LONGEST_TEXT

# A buffer of GPT-2's kind, which holds the causal triangle.
_TRIANGLE = re.compile(r"bias|mask|tril|(causal|attn|attention)_mask")


class Layer(Config):
    """Answers as a configuration does, as its own config too; its dropout is a number and a module at once."""

    def __getitem__(self, name: str) -> Any:
        if _TRIANGLE.fullmatch(name):
            return torch.ones(1, 1, LONGEST_TEXT, LONGEST_TEXT, dtype=torch.bool).tril()
        if name in {"config", "cfg", "args"}:
            return self
        value = super().__getitem__(name)
        return _Dropout(value, self["training"]) if "drop" in name.lower() else value

    def _missing(self, name: str) -> str:
        return super()._missing(name).replace("config", "stand-in for the layer", 1)


class _Dropout(float):
    """A probability of dropout, which can be called as a layer's nn.Dropout."""

    _training: bool

    def __new__(cls, probability: float, training: bool) -> _Dropout:
        made = super().__new__(cls, probability)
        made._training = training
        return made

    def __call__(self, tensor: Tensor) -> Tensor:
        return torch.nn.functional.dropout(tensor, float(self), self._training)
