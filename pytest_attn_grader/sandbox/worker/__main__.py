"""Start a worker: the process that runs the student's code and knows nothing of grading.

Started by file path with ``python -I``, or forked by the fork server. The modules beside this one import the standard
library, torch and safetensors only. They are loaded under a private package name, so that a student's
``import limits`` finds the student's file.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

PRIVATE_PACKAGE = "_attn_sandbox"


def main() -> None:
    """Read the command line, fork off the supervisor, load torch, take on the limits, then answer until the end."""
    config: dict[str, Any] = json.loads(sys.argv[1])
    sys.argv = ["submission"]  # a submission that parses its command line must not find the worker's
    package = types.ModuleType(PRIVATE_PACKAGE)
    package.__path__ = [str(Path(__file__).resolve().parent)]
    sys.modules[PRIVATE_PACKAGE] = package

    descriptor = _take_socket(config)
    if config.get("fork_server"):
        descriptor, config = _wait_in_fork_server(descriptor, config)
        _serve(descriptor, config)
    if sys.platform.startswith("linux") and not config.get("supervised"):
        from _attn_sandbox.privileges import ordinary_user_suffices  # type: ignore[import-not-found,unused-ignore]
        from _attn_sandbox.supervisor import supervise  # type: ignore[import-not-found,unused-ignore]

        leave_root = ordinary_user_suffices(config["root"], config["needed"])
        supervise(descriptor, config["limits"], leave_root=leave_root)
    if config.get("inside"):
        # Again, in namespaces: this process becomes the one that makes them.
        os.set_inheritable(descriptor, True)
        os.execv(config["inside"][0], config["inside"])
    _add_import_paths(config)
    _serve(descriptor, config)


def _add_import_paths(config: dict[str, Any]) -> None:
    # After the interpreter's own places, so that torch is found where pip put it even if another folder holds its name.
    sys.path += [path for path in config["import_paths"] if path not in sys.path]


def _serve(descriptor: int, config: dict[str, Any]) -> None:
    from _attn_sandbox import privileges  # type: ignore[import-not-found,unused-ignore]

    # As root, a submission's folder may belong to another user; in namespaces no capability is needed for it.
    keep = 0 if config["in_namespaces"] else privileges.CAP_DAC_OVERRIDE
    # Now, while there is one thread: these hold for a thread and all that it starts.
    config["unenforced"] = privileges.drop_privileges(keep=keep)
    from _attn_sandbox.server import serve  # type: ignore[import-not-found,unused-ignore]

    # Every part is loaded: nothing else is found under the private name.
    sys.modules[PRIVATE_PACKAGE].__path__.clear()
    serve(descriptor, config)


def _wait_in_fork_server(requests: int, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Load what a worker loads, and go on in every worker that is forked from here."""
    bare_path = [*sys.path]
    _add_import_paths(config)
    from _attn_sandbox import fork_server, server  # type: ignore[import-not-found,unused-ignore]

    server.warm_up()
    worker: tuple[int, dict[str, Any]] = fork_server.serve_forks(requests, bare_path)
    return worker


def _take_socket(config: dict[str, Any]) -> int:
    if sys.platform == "win32":
        import socket

        # The grader wrote what `socket.share` gave it for our process id to standard input.
        return socket.fromshare(sys.stdin.buffer.read(config["share_bytes"])).detach()
    descriptor = int(config["descriptor"])
    os.set_inheritable(descriptor, False)
    return descriptor


if __name__ == "__main__":
    main()
