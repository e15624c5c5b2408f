"""Warm-up: grade two bundled samples in the fork server, before it forks for the first submission.

Later runs inherit its imports and caches (`fork_cache`). It takes a few seconds, which a large class earns back. It
writes only into a temporary folder and reads no ini file of the user.
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
# A correct one, and a wrong one, which runs the diagnosis too.
SAMPLES = ("reference.py", "no_scale.py")


def run_warmup(args: Sequence[str]) -> None:
    """Grade the samples with these options, in this process."""
    import pytest

    fork_cache.enable()
    with tempfile.TemporaryDirectory() as name, _restored_process_state(Path(name)):
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for sample in SAMPLES:
            # A folder for each: the files beside a submission belong to it.
            place = folder / Path(sample).stem
            place.mkdir()
            shutil.copyfile(SAMPLES_FOLDER / sample, place / sample)
            outputs = [f"--attn-report={folder / 'report.json'}", f"--attn-html={folder / 'page.html'}"]
            pytest.main([*args, f"--attn-student={place / sample}", *outputs, "-c", str(folder / "pytest.ini")])


@contextmanager
def _restored_process_state(folder: Path) -> Iterator[None]:
    """Run silently in this folder; restore the working directory, sys.path, the environment and argv afterwards."""
    here, path, environment, argv = os.getcwd(), [*sys.path], dict(os.environ), [*sys.argv]
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(number) for number in (1, 2)]
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(null_device, number)
        os.chdir(folder)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
        for descriptor in (*saved, null_device):
            os.close(descriptor)
        os.chdir(here)
        sys.path[:], sys.argv[:] = path, argv
        os.environ.clear()
        os.environ.update(environment)
