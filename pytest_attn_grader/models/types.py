"""What ``--attn-model`` may say: ``auto``, ``mini``, a hub id (``id@revision``) or a path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_attn_grader.errors import UsageError

# A hub id is `name` or `owner/name` of at most 96 characters: letters, digits and, inside a name, "-", "_" and ".".
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"(?P<repo>{_NAME}(?:/{_NAME})?)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class ModelRequest:
    """A request that has been understood.

    Args:
        kind: which source has to answer.
        value: the request as it was typed.
        name: hub id without its revision, or the path as typed; equal to `value` for ``auto`` and ``mini``.
        revision: what followed the ``@`` of a hub id.
    """

    kind: Literal["auto", "mini", "path", "hub"]
    value: str
    name: str
    revision: str | None = None


def parse_model_request(value: str) -> ModelRequest:
    """Understand the value of ``--attn-model``.

    An existing folder is always a path, and so is what starts like one (``.``, ``~``, a separator, a drive).

    Raises:
        UsageError: it can be neither the name of a model nor a path.
    """
    if value == "auto":
        return ModelRequest("auto", value, value)
    if value == "mini":
        return ModelRequest("mini", value, value)
    if _looks_like_path(value):
        return ModelRequest("path", value, value)
    hub_id = _HUB_ID.fullmatch(value)
    if hub_id is None or len(hub_id["repo"]) > 96 or ".." in value or "--" in hub_id["repo"]:
        raise UsageError(
            f"{value!r} is not the name of a model: it has to be 'auto', 'mini', a hub id such as 'distilgpt2' or "
            "'owner/name' (with '@revision' if need be), or the path of a folder, which starts with './', '~' or '/'."
        )
    return ModelRequest("hub", value, hub_id["repo"], hub_id["revision"])


def _looks_like_path(value: str) -> bool:
    return bool(value) and (value.startswith((".", "~", "/", os.sep)) or os.path.isabs(value) or Path(value).exists())
