"""Before the first submission of a class: the same run of pytest on samples of ours, in the process that will fork.

What it imports, compiles and works out (`shared`) every later run finds there. It costs a few seconds, which many
submissions earn back. It writes nothing but into a folder of its own, and heeds no ini file of the user's.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_attn_grader._utils import fork_cache

SAMPLES_FOLDER = Path(__file__).parents[1] / "demo" / "submissions"
# One that passes, and one that fails and is diagnosed.
SAMPLES = ("reference.py", "no_scale.py")


def run_warmup(args: Sequence[str]) -> None:
    """Grade the samples with these options, in this process."""
    import pytest

    fork_cache.begin()
    with tempfile.TemporaryDirectory() as name, _restored_process_state(Path(name)):
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for sample in SAMPLES:
            # In a folder of its own: whatever lies beside a submission is part of it.
            place = folder / Path(sample).stem
            place.mkdir()
            shutil.copyfile(SAMPLES_FOLDER / sample, place / sample)
            written = [f"--attn-report={folder / 'report.json'}", f"--attn-html={folder / 'page.html'}"]
            pytest.main([*args, f"--attn-student={place / sample}", *written, "-c", str(folder / "pytest.ini")])


@contextmanager
def _restored_process_state(folder: Path) -> Iterator[None]:
    """Print nothing, stand in this folder, and leave no trace but in memory."""
    here, path, environment, argv = os.getcwd(), [*sys.path], dict(os.environ), [*sys.argv]
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nothing, number)
        os.chdir(folder)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
        for descriptor in (*kept, nothing):
            os.close(descriptor)
        os.chdir(here)
        sys.path[:], sys.argv[:] = path, argv
        os.environ.clear()
        os.environ.update(environment)
