"""The worker's request loop: one frame in, one answer, one frame out. Part of the worker."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from . import limits, protocol


def serve(descriptor: int, config: dict[str, Any], service: ModuleType) -> None:
    """Answer requests until the grader hangs up.

    Args:
        descriptor: the worker's socket.
        service: has `start_service(root, reply_bytes)`, which opens the submission's folder and returns an object
            whose `answer(header, tensors)` returns those of the reply.
    """
    own_limits = limits.Limits(**config["limits"])
    connection = socket.socket(fileno=descriptor)
    torch.set_num_threads(int(config["threads"]))
    faulthandler.enable()
    warm_up()
    unenforced = [*limits.apply_limits(own_limits), *config["unenforced"]]
    flush = _make_flush()
    # Last: what is imported from here on may be a file of the student's.
    answer = service.start_service(Path(config["root"]), own_limits.reply_bytes).answer
    protocol.send_frame(connection, {"pid": os.getpid(), "unenforced": unenforced})
    while True:
        try:
            header, payload = protocol.receive_frame(connection)
        except protocol.WireError:
            # The grader is gone or has hung up. No exit handler or thread of the student's gets a say.
            flush()
            os._exit(0)
        reply, tensors = answer(header, protocol.decode_tensors(payload))
        flush()
        _send(connection, {**reply, "id": header.get("id")}, tensors)


def warm_up() -> None:
    """Have torch import what it puts off until the first backward (0.4 s), before the student's folder is open."""
    leaf = torch.ones(1, requires_grad=True)
    torch.autograd.grad([leaf * 1], [leaf], [torch.ones(1)])


def _send(connection: socket.socket, reply: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    try:
        protocol.send_frame(connection, reply, protocol.encode_tensors(tensors))
    except protocol.WireError as error:
        if error.fault != "malformed":
            os._exit(0)
        # Too much to describe (hundreds of long signatures); nothing of it has been sent.
        message, remedy = f"The reply is too large: {error}.", "Put the attention into a separate file."
        failure = {"name": "malformed-reply", "message": message, "remedy": remedy}
        _send(connection, {"id": reply["id"], "failure": failure}, {})


def _make_flush() -> Callable[[], None]:
    """Return what empties the C library's own output buffers; Python's are unbuffered (``-u``)."""
    if sys.platform == "win32":
        return lambda: None
    flush = ctypes.CDLL(None).fflush
    return lambda: flush(None) and None
