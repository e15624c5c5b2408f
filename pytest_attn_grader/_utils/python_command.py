"""The command that runs a module of Python without the working directory on its path.

`python -m` puts the working directory first. A class or a student works in a folder with submissions in it, and a file
there may be called as anything that is imported: it would run in the grading process.
"""

from __future__ import annotations

import sys

# `python -c` stands for the working directory as well, by an empty entry. `-P` is newer than Python 3.10.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); del sys.argv[0]; "
    "import runpy; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command line of `python -m MODULE ARGUMENTS`, without the working directory on the path."""
    return [sys.executable, "-c", _START, module, *arguments]
