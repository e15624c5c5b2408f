"""Settings of the whole process that an import may change: read before it, compared and restored after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

GRADIENTS = "torch.set_grad_enabled(False)"
DTYPE = "torch.set_default_dtype"
THREADS = "torch.set_num_threads"
SEED = "torch.manual_seed"
DETERMINISTIC = "torch.use_deterministic_algorithms"
KNOWN = (GRADIENTS, DTYPE, THREADS, SEED, DETERMINISTIC)


_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], object]], ...] = (
    (
        GRADIENTS,
        lambda: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        lambda before: torch.set_grad_enabled(before[0]),
    ),
    (DTYPE, torch.get_default_dtype, torch.set_default_dtype),
    (THREADS, torch.get_num_threads, torch.set_num_threads),
    (DETERMINISTIC, torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (SEED, torch.initial_seed, lambda _: None),
)


@contextmanager
def restored(changed: list[str]) -> Iterator[None]:
    """Undo what the block changes but the seed, and add to the list what that was, by the function that changes it."""
    before = [read() for _, read, _ in _SETTINGS]
    try:
        yield
    finally:
        for (name, read, restore), value in zip(_SETTINGS, before, strict=True):
            if read() != value:
                changed.append(name)
                restore(value)
