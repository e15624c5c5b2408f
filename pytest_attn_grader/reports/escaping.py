"""A student's words made harmless for the place where they are shown. One function for each place.

Whatever comes from a submission (messages, names, tokens, what it prints) goes through one of these before it is shown.
Standard library only.
"""

from __future__ import annotations

import re
import string
from typing import Any
from urllib.parse import quote

# Runners of GitHub, Azure and TeamCity take lines that begin like this for orders, blanks before them or not.
_ORDER = re.compile(r"^(\s*)(?=::|##)", re.MULTILINE)
# The old form works anywhere in a line.
_OLD_ORDER = re.compile(r"##(?=\[)")
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in string.punctuation}
_KEPT = frozenset("\n\t")


def escape_unprintable(text: str) -> str:
    """The text with every character that cannot be seen spelled out: control, escape, direction, half a character."""
    return "".join(char if char.isprintable() or char in _KEPT else f"\\x{ord(char):02x}" for char in text)


def for_terminal(text: str, max_chars: int = 500) -> str:
    """One line for a terminal, without line breaks and of bounded length."""
    cleaned = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return cleaned if len(cleaned) <= max_chars else f"{cleaned[:max_chars]}… ({len(cleaned)} characters)"


def for_log(text: str, max_chars: int | None = None) -> str:
    """Lines for a terminal that may be the log of a CI runner: none of them can be taken for an order to it.

    Args:
        max_chars: characters of the text at most; what is cut is said.
    """
    kept = escape_unprintable(text if max_chars is None else text[:max_chars])
    shown = _OLD_ORDER.sub("## ", _ORDER.sub(r"\1\\", kept))
    return shown if max_chars is None or len(text) <= max_chars else f"{shown}… ({len(text)} characters)"


def for_annotation(text: str, max_chars: int | None = None, *, is_property: bool = False) -> str:
    """The message of a workflow command (``::error::MESSAGE``), or the value of one of its properties (``title=``)."""
    unsafe = "%\r\n:," if is_property else "%\r\n"
    cut = text if max_chars is None or len(text) <= max_chars else f"{text[:max_chars]}… ({len(text)} characters)"
    kept = "".join(char if char.isprintable() or char in "\r\n" else f"\\x{ord(char):02x}" for char in cut)
    return "".join(quote(char) if char in unsafe else char for char in kept)


def for_markdown(text: str, max_chars: int | None = None) -> str:
    """Words in Markdown and the HTML it may hold, in a table too: no character can mark anything up."""
    return for_log(text, max_chars).translate(_ENTITIES).replace("\n", "<br>").replace("\t", " ")


def for_json(value: Any) -> Any:
    """JSON-ready data without half characters (lone surrogates), which most readers of JSON refuse."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, (list, tuple)):
        return [for_json(item) for item in value]
    if isinstance(value, dict):
        return {for_json(key) if isinstance(key, str) else key: for_json(item) for key, item in value.items()}
    return value
