"""The echo operation: carry tensors to the worker and back and compute nothing. Part of the worker."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import serialization


def echo(
    header: dict[str, Any], tensors: dict[str, Tensor], reply_bytes: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Copy what came, as a call copies its inputs, and send back zeros of the shapes that are asked for."""
    for tensor in tensors.values():
        tensor.clone()
    return {}, {
        name: serialization.to_plain_tensor(torch.zeros(shape, dtype=getattr(torch, dtype)), reply_bytes)
        for name, (shape, dtype) in header["back"].items()
    }
