"""The worker's request loop: one frame in, one operation, one frame out. Part of the worker."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

started = time.perf_counter()
# The collector would walk many times over the objects that torch brings, which stay.
gc.disable()

import safetensors.torch  # noqa: E402, F401 - loaded now, so that no student's file of that name can be found first
import torch  # noqa: E402

from . import failures, library_calls, limits, protocol  # noqa: E402
from .operations import Caller  # noqa: E402
from .submission import Submission  # noqa: E402

gc.freeze()
gc.enable()

FORBIDDEN_PACKAGE = "pytest_attn_grader"


class BlockGraderImport:
    """Keeps the submission from importing the grader (a finder for `sys.meta_path`)."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse the grader's package, know nothing of any other."""
        if fullname.partition(".")[0] == FORBIDDEN_PACKAGE:
            raise ImportError(
                f"a submission cannot import {FORBIDDEN_PACKAGE}: it must stand on its own", name=fullname
            )
        return None


def serve(descriptor: int, config: dict[str, Any]) -> None:
    """Answer requests until the grader hangs up."""
    own_limits = limits.Limits(**config["limits"])
    connection = socket.socket(fileno=descriptor)
    torch.set_num_threads(int(config["threads"]))
    faulthandler.enable()
    root = Path(config["root"])
    warm_up()
    unenforced = [*limits.apply_limits(own_limits), *config["unenforced"]]
    library_calls.count_in_threads()
    # Last: what is imported from here on may be a file of the student's.
    _add_submission_to_path(root)
    flush = _make_flush()
    known = operations(root, own_limits)
    hello = {
        "op": "hello",
        "pid": os.getpid(),
        "torch": str(torch.__version__),
        "seconds": time.perf_counter() - started,
        "unenforced": unenforced,
    }
    protocol.send_frame(connection, hello)
    while True:
        try:
            header, payload = protocol.receive_frame(connection)
        except protocol.WireError:
            # The grader is gone or has hung up. No exit handler or thread of the student's gets a say.
            flush()
            os._exit(0)
        reply, tensors = answer(known, root, header, protocol.decode_tensors(payload))
        flush()
        _send(connection, {**reply, "id": header.get("id")}, tensors)


def _send(connection: socket.socket, reply: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    try:
        protocol.send_frame(connection, reply, protocol.encode_tensors(tensors))
    except protocol.WireError as error:
        if error.fault == "malformed":
            # Too much to describe (hundreds of long signatures); nothing of it has been sent.
            _send(connection, {"id": reply["id"], "failure": failures.too_large(str(error))}, {})
        else:
            os._exit(0)


def operations(
    root: Path, own_limits: limits.Limits, module: ModuleType | None = None
) -> dict[str, Callable[..., Any]]:
    """Return what can be asked of the submission in this folder, by name."""
    submission = Submission(root, module)
    caller = Caller(submission, own_limits.reply_bytes)
    return {
        "ping": lambda header, tensors: ({}, {}),
        "describe": lambda header, tensors: (submission.describe(header), {}),
        "construct": caller.construct,
        "call": caller.call,
        "cached_calls": caller.cached_calls,
        "backward": caller.backward,
        "echo": caller.echo,
        "parameters": caller.parameters,
        "load": caller.load,
        "release": caller.release,
    }


def answer(
    known: Mapping[str, Callable[..., Any]],
    root: Path,
    header: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    *,
    raises: tuple[type[BaseException], ...] = (),
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Do one operation; whatever it raises becomes a ``failure`` in the reply, but for the exceptions in `raises`."""
    try:
        operation = known[header["op"]]
        known["release"]({"handles": header.get("release", [])}, {})
        reply: tuple[dict[str, Any], dict[str, torch.Tensor]] = operation(header, tensors)
        return reply
    except raises:
        raise
    except BaseException as error:  # noqa: BLE001 - student code may raise anything, SystemExit and pytest's skip included
        return {"failure": failures.describe_failure(error, root, importing=header.get("op") == "describe")}, {}
    finally:
        # A submission may have changed it; the worker's own bookkeeping must not depend on it.
        torch.set_grad_enabled(True)


def warm_up() -> None:
    """Have torch import what it puts off until the first backward (0.4 s), before the student's folder is open."""
    leaf = torch.ones(1, requires_grad=True)
    torch.autograd.grad([leaf * 1], [leaf], [torch.ones(1)])


def _add_submission_to_path(root: Path) -> None:
    """Let imports find the submission's folder first; torch is loaded already and cannot be shadowed.

    In a project with a folder src that is no package itself, the packages lie in there.
    """
    sources = root / "src"
    if sources.is_dir() and not (sources / "__init__.py").exists():
        sys.path.insert(0, str(sources))
    sys.path.insert(0, str(root))
    sys.meta_path.insert(0, BlockGraderImport())  # type: ignore[arg-type,unused-ignore]


def _make_flush() -> Callable[[], None]:
    """Return what empties the C library's own output buffers; Python's are unbuffered (``-u``)."""
    if sys.platform == "win32":
        return lambda: None
    flush = ctypes.CDLL(None).fflush
    return lambda: flush(None) and None
