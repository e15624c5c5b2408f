"""What the source says about ready-made attention, and about hiding a call of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_attn_grader.submission.library_scan import LibraryScan, scan_sources

SDPA = "torch.nn.functional.scaled_dot_product_attention"
CALL = (
    "def attention(query, key, value, mask=None):\n    return F.scaled_dot_product_attention(query, key, value, mask)\n"
)


def scan(text: str, name: str = "student.py") -> LibraryScan:
    return scan_sources({Path(name): text.encode()})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CALL, {SDPA}),
        ("from torch.nn.functional import scaled_dot_product_attention as softmax\n", {SDPA}),
        ("fast = getattr(F, 'scaled_dot_product_attention')\n", {SDPA}),
        ("fast = getattr(F, 'scaled_dot' + '_product_' + 'attention')\n", {SDPA}),
        ("fast = getattr(F, f'scaled_dot_product_attention')\n", {SDPA}),
        ("layer = nn.MultiheadAttention(64, 4)\n", {"torch.nn.MultiheadAttention"}),
        ("from torch.nn import TransformerEncoderLayer as Layer\n", {"torch.nn.TransformerEncoderLayer"}),
        (
            "torch.ops.aten._scaled_dot_product_flash_attention\n",
            {"torch.ops.aten._scaled_dot_product_flash_attention"},
        ),
        ("class MyMultiheadAttention(nn.Module): ...\n# scaled_dot_product_attention\n", set()),
        ("def f(): '''As scaled_dot_product_attention does.'''\n", set()),
        ("if __name__ == '__main__':\n    print(F.scaled_dot_product_attention(q, k, v))\n", set()),
        ("def broken(:\n", set()),
        ("(" * 10_000, set()),
        ("\0", set()),
    ],
)
def test_ready_made_attention_is_named(text: str, named: set[str]) -> None:
    assert scan(text) == LibraryScan(frozenset(named), ())


@pytest.mark.parametrize(
    ("text", "hidden_by"),
    [
        ("with torch._C.DisableTorchFunction():\n    pass\n", "DisableTorchFunction (line 1)"),
        (
            "import torch\nfrom torch._C import DisableTorchFunctionSubclass as quiet\n",
            "DisableTorchFunctionSubclass (line 2)",
        ),
        ("getattr(torch._C, 'Disable' 'TorchFunction')\n", "DisableTorchFunction (line 1)"),
        ("@torch.jit.script\ndef f(x): return x\n", "jit.script (line 1)"),
        ("from torch import jit\n@jit.script\ndef f(x): return x\n", "jit.script (line 2)"),
        ("from torch.jit import script\n", "jit.script (line 1)"),
        ("import _thread\n", "_thread (line 1)"),
        ("import os\nos.fork()\n", "fork (line 2)"),
        ("from multiprocessing import Pool\n", "multiprocessing (line 1)"),
        ("import sys\nsys.modules['_attn_sandbox']\n", "_attn_sandbox (line 2)"),
        ("exec('pass')\n", "builtins.exec (line 1)"),
    ],
)
def test_what_hides_a_call_is_found(text: str, hidden_by: str) -> None:
    assert hidden_by in scan(text).hidden_by


@pytest.mark.parametrize(
    "text",
    [
        "import threading\nthread = threading.Thread(target=print)\n",  # is counted
        "script = 'a play'\ntrace = torch.trace(x)\nwith torch.no_grad():\n    model.eval()\n",
        "scores = torch.softmax(query @ key.transpose(-2, -1), -1)\n",
    ],
)
def test_what_hides_nothing_is_not_found(text: str) -> None:
    assert scan(text) == LibraryScan(frozenset(), ())


def test_a_notebook_is_read_cell_by_cell() -> None:
    cells = ["%pip install torch\n", "%%writefile helper.py\n" + CALL, "import _thread\n"]
    notebook = {"cells": [{"cell_type": "code", "source": each.splitlines(keepends=True)} for each in cells]}
    assert scan(json.dumps(notebook), "student.ipynb") == LibraryScan(frozenset({SDPA}), ("_thread (line 1)",))
    assert scan("{}", "student.ipynb") == scan("nonsense", "student.ipynb") == LibraryScan(frozenset(), ())
