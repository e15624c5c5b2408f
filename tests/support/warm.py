"""A process that is prepared as a class's runs are and forks for every run: a run then costs what it does itself.

Started by `runs.py`. Reads one job a line and answers two lines: the process id, then the exit code. Every run loads
its model by itself.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from pytest_attn_grader.cli.grade.fork_server import prepare


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    prepare(None, "cpu")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            answers.close()
            run(json.loads(line))
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


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
