"""In the grading process nothing is contained, but failures have names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.in_process import InProcessWorker
from pytest_attn_grader.submission.remote.messages import CallSpec

QUERY = (("query", TensorRef("query")),)


def test_in_the_grading_process_nothing_is_contained_but_failures_have_names(tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("ONE = 1\n")
    (tmp_path / "student.py").write_text(
        "import os, sys\nfrom helper_of_mine import ONE\n"
        "def attention(query): return query * 2 + ONE + 0 * os.getpid()\n"
        "def pid(query): return query + os.getpid()\n"
        "def leaves(query): sys.exit(3)\n"
    )
    before = list(sys.path)
    with SandboxClient(
        lambda: InProcessWorker(root=tmp_path, import_paths=sys.path, limits=Limits(call_seconds=5))
    ) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        assert "processes" in remote.unenforced
        query = torch.ones(2, requires_grad=True)
        spec = CallSpec("attention", QUERY, grad=True, requires_grad=("query",))
        remote.call_with_autograd(spec, {"query": query}).tensors["result"].sum().backward()
        assert query.grad is not None
        assert query.grad.tolist() == [2, 2]
        pid = remote.call(CallSpec("pid", QUERY), {"query": torch.zeros(1, dtype=torch.int64)})
        assert pid.tensors["result"].item() == os.getpid()
        with pytest.raises(SubmissionError, match="SystemExit, code 3"):
            remote.call(CallSpec("leaves", QUERY), {"query": query})
        assert remote.replacements == 0
    assert sys.path == before
    sys.modules.pop("helper_of_mine", None)
    sys.modules.pop("student", None)
