"""A process that has imported torch and transformers and forks for every run: a run then costs what it does itself.

Started by `runs.py`. Reads one job a line and answers two lines: the process id, then the exit code. Imports nothing of
this package, so that every run still loads, and rewrites, the plugin by itself.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

PRELOADED = ("numpy", "scipy.stats", "pydantic", "torch", "transformers", "transformers.models.gpt2.modeling_gpt2")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for name in PRELOADED:
        importlib.import_module(name)
    tell_pytest_to_leave_alone("anyio")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            answers.close()
            run(json.loads(line))
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def tell_pytest_to_leave_alone(name: str) -> None:
    """transformers imports a pytest plugin on its way; pytest would warn that it came too late to rewrite it."""
    if name in sys.modules:
        sys.modules[name].__doc__ = "PYTEST_DONT_REWRITE"


def run(job: dict[str, Any]) -> None:
    """Become `python -m pytest ARGS`, as a shell would have started it."""
    os.setpgid(0, 0)
    for number, path in enumerate(job["streams"]):
        descriptor = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    # The standard input was being iterated over: its buffer belongs to the parent.
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    # As a new interpreter would have it.
    sys.path[:1] = [job["folder"], *filter(None, job["environment"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["pytest", *job["args"]]
    code = 70
    try:
        import pytest

        code = int(pytest.main())
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
