"""Five hundred gradings in one process: every verdict as expected, nothing left behind, memory flat.

A worker serves several good submissions, as a class's would, because starting one takes longer than grading; whatever
ends a worker gets another one. That makes about fifty workers.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.observation import Observation
from tests.hostile.grading import CORPUS
from tests.support.sandboxes import left_in
from tests.support.students import REFERENCE, Workshop

# `python -m tests.benchmarks.leaks` does five hundred.
GRADINGS = 150
WARM_UP = 50
MOST_GROWTH_BYTES = 60 << 20
WRONG = REFERENCE.replace("/ math.sqrt(query.size(-1))", "")
# One in five is hostile; those that wait for their time limit would make this an hour.
HOSTILE = {
    "segfaults": "crashed",
    "raises_odd": "raised",
    "exits_hard": "exited",
    "floods": "output-flood",
    "import_grader": "import-error",
    "writes_garbage": "malformed-reply",
    "skips": "raised",
    "leaves_the_socket_to_a_daemon": "exited",
    "returns_text": "malformed-reply",
    "opens_files": "too-many-files",
}


def verdict_of(workshop: Workshop, source: str) -> str:
    """A grading as small as it can be: import, fit, one probe with its gradients, its tolerance."""
    try:
        student = workshop.attention(source)
        probe = build_probe(SPEC_BY_NAME["single"], seed=1)
        observation = Observation(probe, student.run_probe(probe))
    except SubmissionError as error:
        return error.name
    if observation.student.failure is not None:
        return observation.student.failure.name
    right = observation.output_error <= observation.tolerance.tolerance["attn_output"]
    return "passed" if right else "wrong"


def held() -> tuple[int, int, int]:
    """Descriptors, threads and child processes of this process."""
    own = psutil.Process()
    return own.num_fds(), threading.active_count(), len(own.children(recursive=True))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts what Linux counts")
def test_many_gradings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    (tmp_path / "submissions").mkdir()
    kinds = [(REFERENCE, "passed"), (WRONG, "wrong"), (REFERENCE, "passed"), (WRONG, "wrong")]
    hostile = [((CORPUS / f"{name}.py").read_text(encoding="utf-8"), expected) for name, expected in HOSTILE.items()]
    workshop = Workshop(tmp_path / "submissions")
    before = held()
    grown_from = 0
    seen: Counter[str] = Counter()
    for number in range(GRADINGS):
        round_, place = divmod(number, 5)
        source, expected = kinds[place] if place < 4 else hostile[round_ % len(hostile)]
        verdict = verdict_of(workshop, source)
        assert verdict == expected, (number, expected, verdict)
        seen[verdict] += 1
        if number == WARM_UP:
            gc.collect()
            grown_from = psutil.Process().memory_info().rss
    workshop.close()
    gc.collect()
    assert sum(seen.values()) == GRADINGS
    assert seen["passed"] == seen["wrong"] == 2 * GRADINGS // 5
    assert psutil.Process().memory_info().rss - grown_from < MOST_GROWTH_BYTES
    assert held() == before
    assert not os.listdir(temporary)
    inside = str(tmp_path / "submissions")
    assert not left_in(inside)
