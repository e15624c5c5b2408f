"""Remedies for exceptions about sizes of tensors: a size that is typed in, axes that are turned the wrong way."""

from __future__ import annotations

import re
from collections.abc import Mapping

# How torch says that sizes do not go together.
_OF_SIZES = re.compile(
    r"must match|is invalid for input|cannot be multiplied|expanded size|Expected size|split_with_sizes"
)
_OF_AXES = re.compile(
    r"AssertionError|(Runtime|Index|Value|Einops)Error.*(siz|shape|dim|match|ax[ei]s|unpack|operand)", re.DOTALL
)
# Of lines that turn or count axes for two or three dimensions.
_TURNED = re.compile(
    r"\.T\b|\.t\(\)|transpose\(\s*[0-9]|permute\(|\bbmm\(|(dim|axis)\s*=\s*[0-9]|size\(\s*[0-9]|shape\[\s*[0-9]|\.shape$",
    re.MULTILINE,
)


def is_about_axes(message: str) -> bool:
    """Whether an exception may come from the number of dimensions: not from a name, a type or a device."""
    return _OF_AXES.match(message) is not None and "cuda" not in message.lower()


def remedy_for_typed_in(message: str, source: str, sizes: Mapping[str, int]) -> str:
    """The remedy where an exception is about a number that stands in the code and is the size of no input; else ""."""
    first = message.partition("\n")[0]
    if not _OF_SIZES.search(first):
        return ""
    numbers = [number for number in re.findall(r"\d+", first) if int(number) > 2 and int(number) not in sizes.values()]
    typed_in = next((number for number in numbers if re.search(rf"(?<![\w.]){number}(?![\w.])", source)), None)
    if typed_in is None:
        return ""
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return (
        f"{typed_in} stands in the code, and is the size of nothing that came in ({listed}): read sizes off the "
        "tensors, as in query.size(-2)."
    )


def remedy_for_axes(traceback: str) -> str:
    """The remedy where a line of the traceback turns or counts axes as of matrices; else ""."""
    if not _TURNED.search(traceback):
        return ""
    return "Turn the last two axes only: .transpose(-2, -1), not .T; and count axes from the end."
