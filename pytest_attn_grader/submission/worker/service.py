"""The requests about a submission, answered by name. Part of the worker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Loaded now, so that no student's file of that name can be found first.
import safetensors.torch  # noqa: F401
import torch
from torch import Tensor

from . import failures, library_calls
from .operations import Caller
from .submission import Submission

FORBIDDEN_PACKAGE = "pytest_attn_grader"


class Service:
    """One submission in this process.

    Args:
        root: the submission's folder.
        reply_bytes: tensors in one reply.
        module: the submission, where it is imported already.
    """

    def __init__(self, root: Path, reply_bytes: int, module: ModuleType | None = None) -> None:
        submission = Submission(root, module)
        caller = Caller(submission, reply_bytes)
        self._root = root
        self._release = caller.release
        self._operations = {
            "ping": lambda header, tensors: ({}, {}),
            "describe": lambda header, tensors: (submission.describe(header), {}),
            "construct": caller.construct,
            "call": caller.call,
            "cached_calls": caller.cached_calls,
            "backward": caller.backward,
            "echo": caller.echo,
            "parameters": caller.parameters,
            "load": caller.load,
        }

    def answer(
        self, header: dict[str, Any], tensors: dict[str, Tensor], *, raises: tuple[type[BaseException], ...] = ()
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Do one operation; what it raises becomes a ``failure`` in the reply, but for the exceptions in `raises`."""
        grad_enabled = torch.is_grad_enabled()
        try:
            operation = self._operations[header["op"]]
            self._release(header.get("release", []))
            reply: tuple[dict[str, Any], dict[str, Tensor]] = operation(header, tensors)
            return reply
        except raises:
            raise
        except BaseException as error:  # noqa: BLE001 - student code may raise anything, SystemExit and pytest's skip too
            importing = header.get("op") == "describe"
            return {"failure": failures.describe_failure(error, self._root, importing=importing)}, {}
        finally:
            # A submission may have changed it; the worker's own bookkeeping must not depend on it.
            torch.set_grad_enabled(grad_enabled)


def start_service(root: Path, reply_bytes: int) -> Service:
    """Make a process that does nothing else ready for a submission; imports find files of its folder from then on.

    In a project with a folder src that is no package itself, the packages lie in there.
    """
    library_calls.count_in_threads()
    sources = root / "src"
    if sources.is_dir() and not (sources / "__init__.py").exists():
        sys.path.insert(0, str(sources))
    sys.path.insert(0, str(root))
    sys.meta_path.insert(0, BlockGraderImport())  # type: ignore[arg-type,unused-ignore]
    return Service(root, reply_bytes)


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
