"""Escape text of a submission for the place where it is shown: terminal, CI log, Markdown, JSON.

Every text that a submission controls goes through one of these functions before it is shown: messages, tokens, printed
output, and also the names of files, of zip members and of functions. Standard library only.
"""

from __future__ import annotations

import os
import re
import string
from typing import Any
from urllib.parse import quote

# CI runners (GitHub, Azure, TeamCity) execute lines that begin like this, with or without leading blanks.
_COMMAND = re.compile(r"^(\s*)(?=::|##)", re.MULTILINE)
# The older form is executed anywhere in a line.
_INLINE_COMMAND = re.compile(r"##(?=\[)")
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in string.punctuation}
MAX_PATH_CHARS = 4096


def escape_unprintable(text: str, *, keep: str = "\n\t") -> str:
    """Spell out every unprintable character but those to keep: controls, escapes, direction marks, lone surrogates."""
    return "".join(char if char.isprintable() or char in keep else f"\\x{ord(char):02x}" for char in text)


def for_terminal(text: str, max_chars: int = 500) -> str:
    """Return one printable line of bounded length, for a terminal."""
    cleaned = escape_unprintable(text, keep="")
    return cleaned if len(cleaned) <= max_chars else f"{cleaned[:max_chars]}… ({len(cleaned)} characters)"


def for_path(path: str | os.PathLike[str]) -> str:
    """Return the name of a file in one printable line; a name can contain line breaks, escapes and invalid UTF-8."""
    return for_terminal(os.fspath(path), MAX_PATH_CHARS)


def for_log(text: str, max_chars: int | None = None) -> str:
    """Return printable lines for a terminal or the log of a CI runner; no line is a command to the runner.

    Args:
        max_chars: longer text is cut, and the cut is noted.
    """
    kept = escape_unprintable(text if max_chars is None else text[:max_chars])
    shown = _INLINE_COMMAND.sub("## ", _COMMAND.sub(r"\1\\", kept))
    return shown if max_chars is None or len(text) <= max_chars else f"{shown}… ({len(text)} characters)"


def for_annotation(text: str, max_chars: int | None = None, *, is_property: bool = False) -> str:
    """Escape the message of a workflow command (``::error::MESSAGE``) or the value of a property (``title=``)."""
    unsafe = "%\r\n:," if is_property else "%\r\n"
    cut = text if max_chars is None or len(text) <= max_chars else f"{text[:max_chars]}… ({len(text)} characters)"
    return "".join(quote(char) if char in unsafe else char for char in escape_unprintable(cut, keep="\r\n"))


def for_markdown(text: str, max_chars: int | None = None) -> str:
    """Escape text for Markdown with HTML, also inside a table: no character of it is markup."""
    return for_log(text, max_chars).translate(_ENTITIES).replace("\n", "<br>").replace("\t", " ")


def for_json(value: Any) -> Any:
    """Replace lone surrogates, which most JSON readers refuse, in all strings of JSON-ready data."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, (list, tuple)):
        return [for_json(item) for item in value]
    if isinstance(value, dict):
        return {for_json(key) if isinstance(key, str) else key: for_json(item) for key, item in value.items()}
    return value
