"""Settings of the whole process that an import may change: read before it, compared and restored after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

GRADIENTS = "torch.set_grad_enabled(False)"
DTYPE = "torch.set_default_dtype"
THREADS = "torch.set_num_threads"
SEED = "torch.manual_seed"
DETERMINISTIC = "torch.use_deterministic_algorithms"
KNOWN = (GRADIENTS, DTYPE, THREADS, SEED, DETERMINISTIC)


@contextmanager
def restored(changed: list[str]) -> Iterator[None]:
    """Undo what the block changes, and add to the list what that was, by the function that changes it."""
    grad_enabled, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic, seed = torch.are_deterministic_algorithms_enabled(), torch.initial_seed()
    try:
        yield
    finally:
        if torch.is_grad_enabled() != grad_enabled or torch.is_inference_mode_enabled() != inference:
            changed.append(GRADIENTS)
            torch.set_grad_enabled(grad_enabled)
        if torch.get_default_dtype() != dtype:
            changed.append(DTYPE)
            torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            changed.append(THREADS)
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            changed.append(DETERMINISTIC)
            torch.use_deterministic_algorithms(deterministic)
        if torch.initial_seed() != seed:
            changed.append(SEED)
