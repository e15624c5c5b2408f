"""Hostile submissions in forked workers of an ordinary user; `test_corpus.py` grades as the user who tests."""

from __future__ import annotations

import json
import os
import sys
import tempfile

import pytest

from pytest_attn_grader.sandbox import bubblewrap
from tests.hostile.grading import TIERS
from tests.support.sandboxes import run_as

GRADER = """
import json, os, sys
from pathlib import Path
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.load import load_model
from pytest_attn_grader.sandbox import fork_server, launch
from pytest_attn_grader.submission.worker import SERVICE
from tests.hostile.grading import Grading, sample

folder, tier = sys.argv[1:]
mini = load_model("mini", device="cpu")
attach_tokenizer(mini.model, mini.tokenizer)
server = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
server.forks_into_namespaces = True
fork_server.set_fork_server(server)
graded, wrong = 0, {}
for hostile in sample():
    if tier in hostile.tiers:
        outcome = Grading(hostile, tier, Path(folder) / hostile.file.stem, mini).outcome()
        graded += 1
        if outcome.verdict not in hostile.expected or outcome.left_behind:
            wrong[hostile.file.stem] = str(outcome)
print(json.dumps({"user": os.getuid(), "graded": graded, "wrong": wrong}))
server.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork server needs Linux")
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="the tests are an ordinary user's already")
@pytest.mark.parametrize("tier", TIERS)
def test_the_verdicts_are_the_expected_ones(tier: str) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    with tempfile.TemporaryDirectory() as folder:  # not pytest's own, which only this user can enter
        os.chmod(folder, 0o777)
        found = json.loads(run_as("ordinary", GRADER, folder, tier, seconds=240.0).splitlines()[-1])
    assert found["user"] != 0
    assert found["graded"] > 25
    assert found["wrong"] == {}
