"""An optional signature of the report, so that whoever holds the key can tell that nobody has changed it since.

HMAC-SHA256 over the whole document but the signature itself, as JSON with sorted keys and without blanks. The key is
taken out of the environment before the submission's worker starts.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import json
import os
import sys
from collections.abc import MutableMapping
from typing import Any

KEY_VARIABLE = "ATTN_REPORT_KEY"
ALGORITHM = "hmac-sha256"
FIELD = "signature"


def pop_signing_key(environment: MutableMapping[str, str] = os.environ) -> bytes | None:
    """Return the key and remove it from the environment, also from where other processes could read it; None if none.

    An empty key is no key.
    """
    if environment.get(KEY_VARIABLE) is None:
        return None
    if environment is os.environ and sys.platform.startswith("linux"):
        _wipe(KEY_VARIABLE)
    return environment.pop(KEY_VARIABLE).encode("utf-8", "surrogateescape") or None


def sign(document: dict[str, Any], key: bytes) -> dict[str, Any]:
    """Return the document with its signature in our part of it."""
    plain: dict[str, Any] = json.loads(json.dumps(document, default=str, skipkeys=True, allow_nan=False))
    ours = {**plain["attn_grader"], FIELD: None}
    value = _digest({**plain, "attn_grader": ours}, key)
    return {**plain, "attn_grader": {**ours, FIELD: {"algorithm": ALGORITHM, "value": value}}}


def verify_signature(document: dict[str, Any], key: bytes) -> bool:
    """Whether a document is as it was when it was signed with this key; False for one that is not signed at all."""
    ours = document.get("attn_grader")
    if not isinstance(ours, dict):
        return False
    signature = ours.get(FIELD)
    if not isinstance(signature, dict) or signature.get("algorithm") != ALGORITHM:
        return False
    expected = _digest({**document, "attn_grader": {**ours, FIELD: None}}, key)
    return hmac.compare_digest(expected.encode(), str(signature.get("value")).encode("utf-8", "replace"))


def _digest(document: dict[str, Any], key: bytes) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()


def _wipe(name: str) -> None:
    """Overwrite the value where it lies: /proc/PID/environ shows what a process was started with, changed or not."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place = getenv(name.encode())
    if place:
        ctypes.memset(place, ord("x"), len(ctypes.string_at(place)))
