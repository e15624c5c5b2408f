"""Resolve the device of a model, and release the memory of that device."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_attn_grader.errors import UsageError

if TYPE_CHECKING:
    import torch

SMALL_PARAMETERS = 200_000_000


def resolve_device(name: str = "auto") -> torch.device:
    """Turn the value of ``--attn-device`` into a device that is there.

    Args:
        name: ``auto`` (the first CUDA device if there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        UsageError: no such device exists, or this machine has none; the message lists what it has.
    """
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    available = available_devices()
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise UsageError(
            f"Device {name!r} is not there: this machine offers {', '.join(available)}. Choose one of these, or 'auto'."
        )
    return torch.device(wanted)


def available_devices() -> list[str]:
    """Names of the devices a model can be put on, the CPU first."""
    import torch

    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def limit_threads(model: torch.nn.Module) -> None:
    """Compute on one thread when the model is small: on a short prompt, more threads only wait.

    A model of `SMALL_PARAMETERS` and more keeps torch's own choice, and so does a process with ``OMP_NUM_THREADS`` set.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and sum(p.numel() for p in model.parameters()) < SMALL_PARAMETERS:
        torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def release_memory(device: torch.device) -> None:
    """Give back what a model that is no longer referenced held on `device`; on the CPU there is nothing to do.

    Patched and original models refer to each other in circles, so the collector has to run before the cache is emptied.
    """
    import torch

    if device.type == "cuda":
        gc.collect()
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
    elif device.type == "mps":
        gc.collect()
        torch.mps.empty_cache()
