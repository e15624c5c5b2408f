"""Load a model from the hub, the hub's cache, a folder or this package."""

from pytest_attn_grader.models.devices import available_devices, release_memory, resolve_device
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.models.types import LoadedModel

__all__ = ["LoadedModel", "available_devices", "load_model", "release_memory", "resolve_device"]
