"""Frames on a socket: a magic, two lengths, a small JSON header and a safetensors payload.

Shared by the grader and the worker, so it depends on nothing else of the package. Nothing that arrives is unpickled or
trusted: lengths are checked before memory is taken, and whatever does not decode is a `WireError`. torch and
safetensors are imported only when a tensor crosses, because the grader loads this module before it loads torch.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = b"ATN\x01"  # the last byte is the version of this format
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 29
MAX_DIMENSIONS = 16
ALLOWED_DTYPES = frozenset(
    {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}
)

_PREFIX = struct.Struct("!4sIQ")
_CHUNK_BYTES = 1 << 20
_POLL_SECONDS = 0.05

WireFault = Literal["malformed", "closed", "late"]


class WireError(Exception):
    """The other side sent something that is not a frame, or nothing, or too late.

    Args:
        fault: ``malformed`` (not a frame), ``closed`` (the other end is gone), ``late`` (the deadline passed).
        message: what was wrong, in a few words.
    """

    def __init__(self, fault: WireFault, message: str) -> None:
        super().__init__(message)
        self.fault: WireFault = fault


def encode_frame(header: Mapping[str, Any], payload: bytes = b"") -> list[bytes]:
    """Return the pieces of one frame, in order; a header over `MAX_HEADER_BYTES` is a `WireError`."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    if len(text) > MAX_HEADER_BYTES:
        raise WireError("malformed", f"a header of {len(text)} bytes is over the limit of {MAX_HEADER_BYTES}")
    start = _PREFIX.pack(MAGIC, len(text), len(payload)) + text
    # A small frame goes out in one piece, which wakes the other side once; a large one is not copied.
    return [start + payload] if len(payload) <= _CHUNK_BYTES else [start, payload]


def send_frame(
    connection: socket.socket,
    header: Mapping[str, Any],
    payload: bytes = b"",
    *,
    deadline: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Send one frame; `deadline` is a `time.monotonic` moment, `on_wait` is called while waiting and may raise."""
    for piece in encode_frame(header, payload):
        view = memoryview(piece)
        while view:
            view = view[_when_ready(connection, partial(connection.send, view), deadline, on_wait) :]


def receive_frame(
    connection: socket.socket,
    *,
    max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    deadline: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> tuple[dict[str, Any], bytearray]:
    """Receive one frame; the deadline covers all of it, however slowly it trickles in."""
    prefix = _receive_exactly(connection, _PREFIX.size, deadline, on_wait)
    header_len, payload_len = _check_prefix(bytes(prefix), max_payload_bytes)
    header = _parse_header(bytes(_receive_exactly(connection, header_len, deadline, on_wait)))
    return header, _receive_exactly(connection, payload_len, deadline, on_wait)


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the tensors as safetensors bytes; they must be dense, contiguous, on the CPU and not share memory."""
    if not tensors:
        return b""
    import safetensors.torch

    data: bytes = safetensors.torch.save(dict(tensors))
    return data


def decode_tensors(payload: bytes | bytearray) -> dict[str, Tensor]:
    """Return the tensors of a payload: plain, contiguous, writable, on the CPU; anything else is a `WireError`."""
    if not payload:
        return {}
    import safetensors.torch
    from safetensors import SafetensorError

    if int.from_bytes(payload[:8], "little") > MAX_HEADER_BYTES:
        # safetensors takes 100 MB, which is more than a million tensors without a number in them.
        raise WireError("malformed", f"the tensors are described in more than {MAX_HEADER_BYTES} bytes")
    # Everything that safetensors' own reader and torch raise on bytes that are not what they claim to be.
    faults = (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, AssertionError)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(bytes(payload))
    except faults as error:
        raise WireError("malformed", f"the payload is not safetensors: {type(error).__name__}: {error}") from error
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in ALLOWED_DTYPES or tensor.dim() > MAX_DIMENSIONS:
            raise WireError("malformed", f"tensor {name[:80]!r} is {dtype} with {tensor.dim()} dimensions")
    return tensors


def _check_prefix(prefix: bytes, max_payload_bytes: int) -> tuple[int, int]:
    magic, header_len, payload_len = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise WireError("malformed", f"a frame starts with {MAGIC!r}, not with {magic!r}")
    if header_len > MAX_HEADER_BYTES:
        raise WireError("malformed", f"a header of {header_len} bytes is over the limit of {MAX_HEADER_BYTES}")
    if payload_len > max_payload_bytes:
        raise WireError("malformed", f"a payload of {payload_len} bytes is over the limit of {max_payload_bytes}")
    return header_len, payload_len


def _parse_header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\ud" in raw.lower():
            # An escaped lone surrogate passes json.loads and breaks the first file the string is written to.
            json.dumps(header, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise WireError("malformed", f"the header is not JSON: {type(error).__name__}: {str(error)[:200]}") from error
    if not isinstance(header, dict):
        raise WireError("malformed", f"the header is a JSON {type(header).__name__}, not an object")
    return header


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _receive_exactly(
    connection: socket.socket, size: int, deadline: float | None, on_wait: Callable[[], None] | None
) -> bytearray:
    # The buffer grows with what has come, so that a claimed length alone takes no memory.
    data = bytearray()
    while len(data) < size:
        wanted = min(size - len(data), _CHUNK_BYTES)
        part = _when_ready(connection, partial(connection.recv, wanted), deadline, on_wait)
        if not part:
            raise WireError("closed", f"the connection closed {size - len(data)} bytes before the end of a frame")
        data += part
    return data


def _when_ready(
    connection: socket.socket,
    action: Callable[[], Any],
    deadline: float | None,
    on_wait: Callable[[], None] | None,
) -> Any:
    """Do `action` once the socket is ready; wake up now and then so that the caller can look after the other side."""
    while True:
        timeout = None if deadline is None and on_wait is None else _POLL_SECONDS
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise WireError("late", "the deadline passed before the frame was through")
            timeout = min(_POLL_SECONDS, remaining)
        try:
            connection.settimeout(timeout)
            return action()
        except TimeoutError:
            if on_wait is not None:
                on_wait()
        except OSError as error:
            raise WireError("closed", f"the connection failed: {error}") from error
