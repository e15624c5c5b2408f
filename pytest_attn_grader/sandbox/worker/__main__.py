"""Start a worker: the process that runs the student's code and knows nothing of grading.

Started by file path with ``python -I``, or forked by the fork server. The modules beside this one, and those of the
service that is named on the command line, are loaded under a private package name, so that a student's
``import limits`` finds the student's file.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

PRIVATE_PACKAGE = "_attn_sandbox"
OWN_PACKAGE = "sandbox.worker"


def main() -> None:
    """Read the command line, fork off the supervisor, load torch, take on the limits, then answer until the end."""
    config: dict[str, Any] = json.loads(sys.argv[1])
    sys.argv = ["submission"]  # a submission that parses its command line must not find the worker's
    for package in (OWN_PACKAGE, _service_package(config)):
        _add_private_package(package)
    descriptor = _take_socket(config)
    if config.get("fork_server"):
        descriptor, config = _wait_in_fork_server(descriptor, config)
        _serve(descriptor, config)
    if sys.platform.startswith("linux") and not config.get("supervised"):
        _load("supervisor").supervise(descriptor, config)
    if config.get("inside"):
        # Again, in namespaces: this process becomes the one that makes them.
        os.set_inheritable(descriptor, True)
        os.execv(config["inside"][0], config["inside"])
    _add_import_paths(config)
    _serve(descriptor, config)


def _service_package(config: dict[str, Any]) -> str:
    return str(config["service"]).rpartition(".")[0]


def _add_private_package(name: str) -> None:
    """Make a package of the grader's importable under the private name; those above it hold no modules."""
    parts = name.split(".")
    for depth in range(len(parts) + 1):
        package = types.ModuleType(".".join([PRIVATE_PACKAGE, *parts[:depth]]))
        package.__path__ = []
        sys.modules.setdefault(package.__name__, package)
    package.__path__.append(str(Path(__file__).resolve().parents[2].joinpath(*parts)))


def _load(name: str) -> Any:
    """Return a module beside this one, or a service."""
    return importlib.import_module(f"{PRIVATE_PACKAGE}.{name if '.' in name else f'{OWN_PACKAGE}.{name}'}")


def _load_server(config: dict[str, Any]) -> tuple[Any, Any]:
    """Return the server and what it serves, which load torch."""
    # The collector would walk many times over the objects that torch brings, which stay.
    gc.disable()
    loaded = _load("server"), _load(config["service"])
    gc.freeze()
    gc.enable()
    return loaded


def _add_import_paths(config: dict[str, Any]) -> None:
    # After the interpreter's own places, so that torch is found where pip put it even if another folder holds its name.
    sys.path += [path for path in config["import_paths"] if path not in sys.path]


def _serve(descriptor: int, config: dict[str, Any]) -> None:
    privileges = _load("privileges")
    # As root, a submission's folder may belong to another user; in namespaces no capability is needed for it.
    keep = 0 if config["in_namespaces"] else privileges.CAP_DAC_OVERRIDE
    # Now, while there is one thread: these hold for a thread and all that it starts.
    config["unenforced"] = privileges.drop_privileges(keep=keep)
    server, service = _load_server(config)
    # Every part is loaded: nothing else is found under the private name.
    for package in (OWN_PACKAGE, _service_package(config)):
        sys.modules[f"{PRIVATE_PACKAGE}.{package}"].__path__.clear()
    server.serve(descriptor, config, service)


def _wait_in_fork_server(requests: int, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Load what a worker loads, and go on in every worker that is forked from here."""
    bare_path = [*sys.path]
    _add_import_paths(config)
    _load_server(config)[0].warm_up()
    worker: tuple[int, dict[str, Any]] = _load("fork_server").serve_forks(requests, bare_path)
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
