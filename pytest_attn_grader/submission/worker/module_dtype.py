"""Convert a module to another dtype and back without losing what its buffers hold.

`nn.Module.to` rounds float32 tables to bfloat16, which no later conversion restores, and drops the imaginary part of
complex tables. Part of the worker: imports torch only.
"""

from __future__ import annotations

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

# for each module that was converted, its buffers by name at the precision in which they were computed
_originals: WeakKeyDictionary[torch.nn.Module, dict[str, Tensor]] = WeakKeyDictionary()


def convert(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Convert parameters and buffers in place; complex buffers stay complex."""
    originals = _originals.setdefault(module, {})
    for name, buffer in module.named_buffers():
        is_table = buffer.is_floating_point() or buffer.is_complex()
        # what the module itself has written since the last conversion counts, what that conversion rounded does not
        if is_table and (name not in originals or not _is_converted(buffer, originals[name])):
            originals[name] = buffer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of complex buffers, which are put back below
        module.to(dtype)
    for name, original in originals.items():
        owner, _, leaf = name.rpartition(".")
        buffers = module.get_submodule(owner)._buffers
        if leaf in buffers:
            buffers[leaf] = _converted(original, dtype)


def _converted(original: Tensor, dtype: torch.dtype) -> Tensor:
    if not original.is_complex():
        return original.to(dtype)
    return original.to(torch.complex128 if dtype == torch.float64 else torch.complex64)


def _is_converted(buffer: Tensor, original: Tensor) -> bool:
    return buffer.shape == original.shape and torch.equal(original.to(buffer.dtype), buffer)
