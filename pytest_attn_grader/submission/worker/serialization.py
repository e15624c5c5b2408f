"""Turn the result of a student's call into plain tensors and a description. Part of the worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...sandbox.worker.protocol import ALLOWED_DTYPES, MAX_DIMENSIONS
from .failures import WorkerError, safe_repr, truncate

MAX_ITEMS = 64
MAX_DEPTH = 4


def combine(parts: list[Any], batch_size: int | None, num_heads: int | None) -> Any:
    """Put the results of the calls per head (and batch row) back together; one call's result stays as it is."""
    if num_heads is None:
        return parts[0]
    first = parts[0]
    if isinstance(first, Tensor):
        return _stack(parts, batch_size, num_heads)
    if isinstance(first, (tuple, list)):
        if any(not isinstance(part, (tuple, list)) or len(part) != len(first) for part in parts):
            raise WorkerError("raised", "The calls for different heads returned different things.")
        items = [combine([part[index] for part in parts], batch_size, num_heads) for index in range(len(first))]
        return tuple(items) if isinstance(first, tuple) else items
    if isinstance(first, dict):
        if any(not isinstance(part, dict) or list(part) != list(first) for part in parts):
            raise WorkerError("raised", "The calls for different heads returned different things.")
        return {key: combine([part[key] for part in parts], batch_size, num_heads) for key in first}
    return first


def _stack(parts: list[Any], batch_size: int | None, num_heads: int) -> Tensor:
    shapes = {tuple(part.shape) if isinstance(part, Tensor) else None for part in parts}
    if len(shapes) > 1:
        raise WorkerError(
            "raised",
            f"The calls for different heads returned different shapes: {truncate(sorted(map(str, shapes)), 300)}.",
            remedy="Return the same shape for inputs of the same shape.",
        )
    if batch_size is None:
        return torch.stack(parts, dim=min(1, parts[0].dim()))
    return torch.stack(parts).reshape(batch_size, num_heads, *parts[0].shape)


def unwrap_dataclass(result: Any) -> Any:
    """A dataclass as the dict of its fields, everything else as it is."""
    if dataclasses.is_dataclass(result) and not isinstance(result, (type, dict, Tensor)):
        return {field.name: getattr(result, field.name, None) for field in dataclasses.fields(result)}
    return result


def describe_result(result: Any, name: str, depth: int = 0) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return (structure, tensors by name); anything that cannot cross the wire is described in words instead."""
    if result is None:
        return {"type": "none"}, {}
    if isinstance(result, Tensor):
        problem = _problem(result)
        if problem is not None:
            return {"type": "other", "text": problem}, {}
        return {"type": "tensor", "name": name}, {name: result}
    if isinstance(result, (tuple, list, dict)) and depth < MAX_DEPTH and len(result) <= MAX_ITEMS:
        pairs = result.items() if isinstance(result, dict) else enumerate(result)
        structures: list[dict[str, Any]] = []
        keys: list[str] = []
        tensors: dict[str, Tensor] = {}
        for index, (key, item) in enumerate(pairs):
            structure, found = describe_result(item, f"{name}.{index}", depth + 1)
            structures.append(structure)
            keys.append(truncate(key, 200))
            tensors.update(found)
        kind = "dict" if isinstance(result, dict) else "tuple" if isinstance(result, tuple) else "list"
        described: dict[str, Any] = {"type": kind, "items": structures}
        return (described | {"keys": keys} if kind == "dict" else described), tensors
    kind = truncate(type(result).__name__, 80)
    if isinstance(result, (tuple, list, dict)):
        # Not shown: a thousand tensors take seconds to be written out.
        return {"type": "other", "text": f"{kind} of {len(result)} items, {depth} deep"}, {}
    return {"type": "other", "text": f"{kind}: {safe_repr(result, 200)}"}, {}


def to_plain_tensor(tensor: Tensor, max_bytes: int) -> Tensor:
    """Return the values as a plain, dense, contiguous tensor with their own memory on the CPU."""
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        # The claimed size, before anything is made dense: an expanded or sparse tensor may claim terabytes.
        if tensor.numel() * tensor.element_size() > max_bytes:
            raise WorkerError(
                "malformed-reply",
                f"A result of shape {tuple(tensor.shape)} is larger than {max_bytes} bytes.",
                remedy="Return a tensor of the shape of query.",
            )
        plain = tensor.detach()
        if plain.layout != torch.strided:
            plain = plain.to_dense()
        return plain.as_subclass(Tensor).resolve_neg().to("cpu").clone(memory_format=torch.contiguous_format)


def check_total(tensors: Mapping[str, Tensor], max_bytes: int) -> None:
    """Refuse a reply that the grader would not take."""
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > max_bytes - (1 << 16):
        raise WorkerError("malformed-reply", f"The results are {total} bytes together; {max_bytes} is the limit.")


def dtype_name(tensor: Tensor) -> str:
    """Return ``float32`` and so on."""
    return str(tensor.dtype).removeprefix("torch.")


def can_be_sent(tensor: Tensor) -> bool:
    """Whether a tensor crosses the wire."""
    return _problem(tensor) is None


def _problem(tensor: Tensor) -> str | None:
    """Say why a tensor cannot be sent, or None."""
    shape = f"shape {tuple(tensor.shape)}" if not tensor.is_nested else "nested layout"
    if tensor.is_nested or tensor.is_meta or tensor.is_quantized or dtype_name(tensor) not in ALLOWED_DTYPES:
        kind = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else dtype_name(tensor)
        return f"a {kind} tensor of {shape}"
    if tensor.layout != torch.strided:
        return f"a {str(tensor.layout).removeprefix('torch.')} tensor of {shape}, which is not dense"
    return f"a tensor of {tensor.dim()} dimensions" if tensor.dim() > MAX_DIMENSIONS else None
