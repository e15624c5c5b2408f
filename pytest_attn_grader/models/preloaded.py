"""A model that was loaded before this process was forked, so that many runs share one."""

from __future__ import annotations

from pytest_attn_grader.models.types import LoadedModel

_models: dict[tuple[str, str], LoadedModel] = {}


def cache_model(loaded: LoadedModel, *, request: str, device: str) -> None:
    """Keep a model for every later `find_preloaded` of this process and those forked from it."""
    _models[request, device] = loaded


def find_preloaded(request: str, device: str) -> LoadedModel | None:
    """The model that was kept for exactly this request; None when there is none."""
    return _models.get((request, device))
