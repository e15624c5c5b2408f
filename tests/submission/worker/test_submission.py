"""What is in a submission, and what is said when it cannot be imported or the name is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec, Description
from tests.support.sandboxes import MakeRemote, make_worker
from tests.support.students import Workshop

SOURCE = '''
"""A submission with a bit of everything."""
import functools
import math
from dataclasses import dataclass
from functools import partial
from typing import Optional

import torch
from torch import nn
from torch.nn.functional import softmax

import helper

ATTN_MASK = "additive"
SIZE = 3

def attention(query, key, value, mask=None, *rest, dropout_p: float = 0.0, **others):
    """Attend.

    More words.
    """

also_attention = attention

def _private():
    pass

@functools.lru_cache
def cached(x, /):
    return x

short = lambda q, k: q

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
    def forward(self, x):
        return x

class Other:
    pass

class Callable_:
    def __call__(self, a):
        return a

made = Layer(3)
instance = Callable_()
bound = partial(attention, mask=None)

class BadRepr:
    def __repr__(self):
        raise SystemExit("no")

def bad_default(query=BadRepr()):
    pass
'''


class Shared:
    """One folder and one worker for many submissions: each is written to a file of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.remote = SandboxClient(lambda: make_worker(root, import_seconds=4))
        self.written = 0

    def describe(self, source: str, *, file: str = "", name: str | None = None) -> Description:
        self.written += 1
        path = self.root / (file or f"student_{self.written}.py")
        path.write_text(source, encoding="utf-8")
        return self.remote.describe(path=str(path), name=name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    made = Shared(tmp_path_factory.mktemp("submissions"))
    yield made
    made.remote.close()


@pytest.fixture
def _helper(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import math\n")


@pytest.mark.usefixtures("_helper")
def test_everything_defined_there_is_a_candidate(remote_over: MakeRemote, tmp_path: Path) -> None:
    description = remote_over(SOURCE).describe(path=str(tmp_path / "student.py"))
    kinds = {candidate.name: candidate.kind for candidate in description.candidates}
    assert kinds == {
        "attention": "function",
        "cached": "function",
        "short": "function",
        "Layer": "module-class",
        "Other": "class",
        "Callable_": "class",
        "made": "module-instance",
        "instance": "callable",
        "bound": "callable",
        "BadRepr": "class",
        "bad_default": "function",
    }
    assert description.name is None
    assert description.mask_convention == "additive"
    assert set(description.files) == {"student.py", "helper.py"}
    assert not description.transformers_imported
    attention = description.candidates[0]
    assert (
        attention.line
        == SOURCE.splitlines().index(
            "def attention(query, key, value, mask=None, *rest, dropout_p: float = 0.0, **others):"
        )
        + 1
    )
    assert attention.file == "student.py"
    assert [(each.name, each.kind, each.default) for each in attention.parameters] == [
        ("query", "positional-or-keyword", None),
        ("key", "positional-or-keyword", None),
        ("value", "positional-or-keyword", None),
        ("mask", "positional-or-keyword", "None"),
        ("rest", "var-positional", None),
        ("dropout_p", "keyword-only", "0.0"),
        ("others", "var-keyword", None),
    ]
    layer = next(each for each in description.candidates if each.name == "Layer")
    assert [each.name for each in layer.parameters] == ["width"]
    bad = next(each for each in description.candidates if each.name == "bad_default")
    assert "its repr raised SystemExit" in str(bad.parameters[0].default)


def test_the_only_candidate_is_the_target(shared: Shared) -> None:
    source = "from math import *\ndef attention(q, k, v): return v\nattention.ATTN_MASK = 'none'\n"
    description = shared.describe(source)
    assert description.name == "attention"
    assert description.mask_convention == "none"


def test_a_missing_name_is_met_with_what_is_there(shared: Shared) -> None:
    source = "def attention(q, k, v): return v\nSIZE = 3\n"
    with pytest.raises(SubmissionError) as caught:
        shared.describe(source, file="mine.py", name="atention")
    assert caught.value.name == "no-target"
    assert caught.value.message == "There is no 'atention' in mine.py. Did you mean 'attention'? It has attention."
    with pytest.raises(SubmissionError, match=r"'SIZE' in mine\.py is an int; it cannot be called"):
        shared.describe(source, file="mine.py", name="SIZE")
    # None of this ends the worker.
    before = shared.remote.replacements
    assert shared.describe(source, file="mine.py", name="attention").name == "attention"
    assert shared.remote.replacements == before


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("source", "name", "words", "line"),
    [
        (
            "x = 1\ndef attention(q, k, v:\n    pass\n",
            "import-error",
            "'(' was never closed in line 2: def attention(q, k, v:",
            "2",
        ),
        ("import torch\nimport einsoup\n", "import-error", "imports 'einsoup', which is not installed", "2"),
        ("from torch import nothing\n", "import-error", "cannot import name 'nothing'", "1"),
        ("def f():\n    return 1 / 0\nf()\n", "import-error", "ZeroDivisionError: division by zero", "2"),
        ("import sys\nsys.exit(3)\n", "exited", "SystemExit, code 3", "2"),
        ("raise KeyboardInterrupt\n", "import-error", "KeyboardInterrupt", "1"),
        ("import os\nos._exit(0)\n", "exited", "exit code 0", None),
        ("import pytest\npytest.skip('no', allow_module_level=True)\n", "import-error", "Skipped: no", "2"),
        ("import pytest_attn_grader\n", "import-error", "cannot import pytest_attn_grader", "1"),
        ("from pytest_attn_grader.submission import sandbox\n", "import-error", "cannot import", "1"),
        ("import _attn_sandbox.process\n", "import-error", "_attn_sandbox.process", "1"),
        ("\0", "import-error", "null bytes", None),
        ("while True: pass\n", "timeout", "After 4 s importing the submission had not ended", None),
    ],
)
def test_what_goes_wrong_at_import_has_a_name(
    shared: Shared, source: str, name: str, words: str, line: str | None
) -> None:
    with pytest.raises(SubmissionError) as caught:
        shared.describe(source)
    assert caught.value.name == name
    assert words in caught.value.message
    assert caught.value.where == (None if line is None else f"student_{shared.written}.py:{line}")
    shown = caught.value.traceback + caught.value.message
    assert str(shared.root) not in shown
    assert "exec_module" not in shown


def test_a_missing_file_or_module_is_no_target(shared: Shared) -> None:
    with pytest.raises(SubmissionError, match=r"no file 'absent\.py'") as caught:
        shared.remote.describe(path=str(shared.root / "absent.py"))
    assert caught.value.name == "no-target"
    with pytest.raises(SubmissionError, match="no module named 'absent'") as caught:
        shared.remote.describe(module="absent.part")
    assert caught.value.name == "no-target"


@pytest.mark.parametrize(
    "file", ["torch.py", "random.py", "wire.py", "process.py", "limits.py", "my attention.py", "numpy.py"]
)
def test_a_submission_may_have_the_name_of_a_library(shared: Shared, file: str) -> None:
    source = (
        "import torch, random, numpy\nassert torch.ones and random.random and numpy.ones\n"
        "def attention(query): return query + 1\n"
    )
    assert shared.describe(source, file=file).name == "attention"
    call = shared.remote.call(CallSpec("attention", (("query", TensorRef("query")),)), {"query": torch.zeros(2)})
    assert call.tensors["result"].tolist() == [1, 1]


def test_a_description_too_long_to_send_says_so(shared: Shared) -> None:
    source = (
        "for number in range(100):\n"
        "    parameters = ', '.join(f'{chr(97 + n % 26) * 150}{n}=\\'{chr(97 + n % 26) * 190}\\'' for n in range(50))\n"
        "    exec(f'def f{number}({parameters}): pass')\n"
    )
    with pytest.raises(SubmissionError, match="too large") as caught:
        shared.describe(source)
    assert caught.value.name == "malformed-reply"


def test_helpers_beside_the_submission_are_the_students_own(remote_over: MakeRemote, tmp_path: Path) -> None:
    names = ("wire", "limits", "process", "student", "calls", "loop", "results")
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"MINE = {name!r}\n")
    source = "".join(f"import {name}\nassert {name}.MINE == {name!r}\n" for name in names)
    remote = remote_over(source + "def attention(q): return q\n", name="mine.py")
    description = remote.describe(path=str(tmp_path / "mine.py"))
    assert len(description.files) == 8


def test_a_package_imports_relatively(remote_over: MakeRemote, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "parts.py").write_text("def two(): return 2\n")
    (tmp_path / "pkg" / "mine.py").write_text("from .parts import two\ndef attention(q): return q * two()\n")
    remote = remote_over("")
    for place in ({"module": "pkg.mine"}, {"path": str(tmp_path / "pkg" / "mine.py"), "module": "pkg.mine"}):
        description = remote.describe(**place)
        assert description.name == "attention"
        assert set(description.files) == {"pkg/__init__.py", "pkg/mine.py", "pkg/parts.py"}


def test_an_import_of_transformers_is_reported_and_no_bytecode_left(remote_over: MakeRemote, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    remote = remote_over("import helper, transformers\ndef attention(q): return q\n")
    assert remote.describe(path=str(tmp_path / "student.py")).transformers_imported
    assert sorted(each.name for each in tmp_path.iterdir()) == ["helper.py", "student.py"]


def test_layers_that_a_file_makes_are_no_submission(workshop: Workshop) -> None:
    source = (
        "from torch import nn\n"
        "embedding, layer = nn.Embedding(10, 8), nn.Linear(8, 8)\n"
        "attention = nn.MultiheadAttention(8, 2, batch_first=True)\n"
    )
    student = workshop.student(source)
    assert [each.name for each in student.description.candidates] == ["attention"]
