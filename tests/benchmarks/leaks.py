"""What is left after many hostile replies and gradings: processes, descriptors, threads, files, control groups, memory.

    python -m tests.benchmarks.leaks --frames 10000 --gradings 500

Every grading has the verdict that is expected of it, or the command fails. One in five is hostile, and the tiers take
turns.
What is counted before is counted after a tenth of the work, because a first use loads what stays.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from hypothesis import HealthCheck, given, settings

from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.sandbox.worker import control_group
from tests.hostile import test_fuzz, test_soak
from tests.hostile.grading import CORPUS
from tests.support.sandboxes import left_in
from tests.support.students import REFERENCE, Workshop


@dataclass(frozen=True)
class Held:
    """What this process holds, and what it has left in the folder for temporary files."""

    processes: int
    descriptors: int
    threads: int
    files: int
    control_groups: int
    memory_mib: float

    @classmethod
    def now(cls, temporary: Path) -> Held:
        """Count after a garbage collection."""
        gc.collect()
        own = psutil.Process()
        return cls(
            processes=len(own.children(recursive=True)),
            descriptors=own.num_fds(),
            threads=threading.active_count(),
            files=len(list(temporary.iterdir())),
            control_groups=sum(map(abandoned_groups, control_group.find_parents())),
            memory_mib=round(own.memory_info().rss / (1 << 20), 1),
        )


def abandoned_groups(parent: Path) -> int:
    """Count the control groups of supervisors that have ended."""
    supervisors = [
        int(each.name.removeprefix(control_group.PREFIX)) for each in parent.glob(f"{control_group.PREFIX}*")
    ]
    return sum(not psutil.pid_exists(each) for each in supervisors)


def main() -> int:
    """Do the work and print the counts.

    Returns:
        0; 1 when something was left, memory apart.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000, help="hostile replies, each read as the grader does")
    parser.add_argument("--gradings", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        temporary, submissions = Path(folder, "tmp"), Path(folder, "submissions")
        temporary.mkdir()
        submissions.mkdir()
        tempfile.tempdir = str(temporary)
        fuzz(max(1, options.frames // 10))
        grade(max(10, options.gradings // 10), submissions)
        before = Held.now(temporary)
        print(f"{options.frames} frames: {dict(fuzz(options.frames))}", flush=True)
        print(f"{options.gradings} gradings: {dict(grade(options.gradings, submissions))}", flush=True)
        after = Held.now(temporary)
        in_folder = len(left_in(submissions))
    for name, value in asdict(before).items():
        print(f"{name}: {value} before, {asdict(after)[name]} after")
    print(f"processes in the submissions' folder: {in_folder} after")
    leaks = {name for name, value in asdict(after).items() if value > asdict(before)[name]} - {"memory_mib"}
    return 1 if leaks or in_folder else 0


def fuzz(frames: int) -> Counter[str]:
    """Read frames that are not quite what was asked for; count what became of them."""
    seen: Counter[str] = Counter()

    @settings(max_examples=frames, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(test_fuzz.frames())
    def read(data: bytes) -> None:
        seen[test_fuzz.read(data)] += 1

    read()
    return seen


def grade(gradings: int, folder: Path) -> Counter[str]:
    """Grade right, wrong and hostile submissions in turn, and count the verdicts.

    Raises:
        RuntimeError: a verdict is not the expected one.
    """
    tiers = [False, True] if not bubblewrap.unavailable_reason() else [False]
    workshops = [Workshop(folder, in_namespaces=in_namespaces) for in_namespaces in tiers]
    seen: Counter[str] = Counter()
    hostile = list(test_soak.HOSTILE.items())
    for number in range(gradings):
        round_, place = divmod(number, 5)
        source, expected = (REFERENCE, "passed") if place % 2 == 0 else (test_soak.WRONG, "wrong")
        if place == 4:
            name, expected = hostile[round_ % len(hostile)]
            source = (CORPUS / f"{name}.py").read_text(encoding="utf-8")
        verdict = test_soak.verdict_of(workshops[round_ // len(hostile) % len(workshops)], source)
        if verdict != expected:
            raise RuntimeError(f"grading {number} is {verdict!r} instead of {expected!r}")
        seen[verdict] += 1
    for workshop in workshops:
        workshop.close()
    return seen


if __name__ == "__main__":
    sys.exit(main())
