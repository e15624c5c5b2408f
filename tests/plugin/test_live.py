"""`grade()` grades a live object in this process: the same checks and verdicts as a run of pytest.

All calls are made in one Python session of its own, as a notebook makes them; the tests read what it wrote down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SESSION = """
import json, os, random, sys, time, types
import torch
from pytest_attn_grader import grade, UsageError
from pytest_attn_grader.reports.json_report import load_report

def right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, -1)
    return weights @ value, weights

def no_scale(query, key, value, mask=None):
    print("printed by the submission")
    return right(query * query.shape[-1] ** 0.5, key, value, mask)

def endless(query, key, value, mask=None):
    while True:
        pass

def raises(query, key, value, mask=None):
    raise ValueError("<b>not yet</b>")

def interrupts(query, key, value, mask=None):
    raise KeyboardInterrupt

class Head(torch.nn.Module):
    def __init__(self, embed_dim):
        super().__init__()
        self.q_proj = torch.nn.Linear(embed_dim, 64)
        self.k_proj = torch.nn.Linear(embed_dim, 64)
        self.v_proj = torch.nn.Linear(embed_dim, 64)
    def forward(self, x):
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        return right(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)[0]

module = types.ModuleType("mine")
for thing in (right, raises):
    thing.__module__ = "mine"
    setattr(module, thing.__name__, thing)

folder, path = os.getcwd(), [*sys.path]
environment = dict(os.environ)
instance = Head(256)
state = torch.get_rng_state()
found = {}

def attempt(label, thing, **options):
    try:
        report = grade(thing, model="mini", **options)
    except BaseException as error:
        found[label] = {"error": type(error).__name__, "message": str(error)}
        return
    found[label] = {
        "verdict": report.verdict, "earned": report.score.earned, "checks": len(report.checks), "text": str(report),
        "slugs": report.diagnosis.slugs if report.diagnosis else (), "tier": report.sandbox.tier,
        "failed": [c.id for c in report.checks if c.outcome == "failed"],
        "html": report._repr_html_(), "failures": sorted({c.failure.name for c in report.checks if c.failure}),
        "bundle": sorted(report._repr_mimebundle_()), "target": report.student.target, "sha256": report.student.sha256,
    }

attempt("right", right)
started = time.process_time()
attempt("again", right)
found["again"]["seconds"] = time.process_time() - started
attempt("no scale", no_scale, hints="explain")
attempt("instance", instance)
attempt("class", Head)
attempt("lambda", lambda query, key, value, mask=None: right(query, key, value, mask))
attempt("module", module, name="right")
attempt("module with two", module)
attempt("raises", raises)
attempt("endless", endless, timeout=0.3, budget=20)
attempt("interrupts", interrupts)
attempt("number", 7)
attempt("unknown option", right, hint="fix")
attempt("bad value", right, layer="first")
attempt("written", right, report="report.json", html="page.html")
found["left as it was"] = {
    "folder": os.getcwd() == folder, "path": sys.path == path, "environment": dict(os.environ) == environment,
    "random": bool(torch.equal(torch.get_rng_state(), state)),
    "files": sorted(os.listdir()), "reads": load_report(__import__("pathlib").Path("report.json")).verdict,
}
json.dump(found, open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the calls of the session returned or raised, by label."""
    folder = tmp_path_factory.mktemp("live")
    out = tmp_path_factory.mktemp("found") / "found.json"
    (folder / "session.py").write_text(SESSION)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}
    ended = subprocess.run(
        [sys.executable, "session.py", str(out)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    found["printed"] = ended.stdout
    return found


@pytest.mark.parametrize("label", ["right", "again", "instance", "class", "lambda", "module", "written"])
def test_a_right_object_passes(session: dict[str, Any], label: str) -> None:
    graded = session[label]
    # A busy machine may slow the student's calls alone: the time is not the subject here.
    assert [check for check in graded["failed"] if not check.startswith("budget.")] == [], graded
    assert graded["tier"] == "none"
    assert graded["checks"] > 50


def test_a_wrong_one_is_named_and_shown(session: dict[str, Any]) -> None:
    graded = session["no scale"]
    assert (graded["verdict"], graded["slugs"]) == ("failed", ["no-scale"])
    assert graded["bundle"] == ["text/html", "text/plain"]
    assert graded["html"].count('<table class="attn-map">') == 3
    assert any(line.startswith("FAILED  ") for line in graded["text"].splitlines())
    assert "printed by the submission" in session["printed"]


def test_the_second_call_keeps_the_model(session: dict[str, Any]) -> None:
    """Processor time, with room for a slow machine; the benchmark has the real figure."""
    assert session["again"]["seconds"] < 10


def test_markup_of_a_submission_is_escaped(session: dict[str, Any]) -> None:
    assert session["raises"]["verdict"] == "failed"
    assert "<b>not yet</b>" not in session["raises"]["html"]
    assert "&lt;b&gt;not yet&lt;/b&gt;" in session["raises"]["html"]


def test_an_endless_loop_is_stopped_by_the_time_limit(session: dict[str, Any]) -> None:
    assert session["endless"]["verdict"] == "failed"
    assert "timeout" in session["endless"]["failures"]


@pytest.mark.parametrize(
    ("label", "error", "words"),
    [
        ("interrupts", "KeyboardInterrupt", ""),
        ("number", "TypeError", "cannot be called"),
        ("unknown option", "TypeError", "Did you mean 'hints'?"),
        ("bad value", "UsageError", "'first'"),
        ("module with two", "UsageError", "raises"),
    ],
)
def test_what_cannot_be_graded_is_an_error_with_the_value(
    session: dict[str, Any], label: str, error: str, words: str
) -> None:
    assert session[label].get("error") == error, session[label]
    assert words in session[label]["message"]


def test_the_session_is_left_as_it_was(session: dict[str, Any]) -> None:
    files = ["page.html", "report.json", "session.py"]
    assert session["left as it was"] == {
        "folder": True,
        "path": True,
        "environment": True,
        "random": True,
        "files": files,
        "reads": "passed",
    }
