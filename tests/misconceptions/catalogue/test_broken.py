"""Files that give no output: each reason with its own name."""

from __future__ import annotations

import sys

import pytest

from pytest_attn_grader.misconceptions import diagnose_failure
from pytest_attn_grader.results.report import Failure


def named(message: str, source: str = "", where: str | None = None) -> tuple[tuple[str, ...], str]:
    diagnosis = diagnose_failure(Failure(name="import-error", message=message, where=where), source=source)
    return ((), "") if diagnosis is None else (diagnosis.slugs, diagnosis.message)


@pytest.mark.parametrize(
    ("message", "source", "slug", "word"),
    [
        ("SyntaxError: invalid syntax", "<<<<<<< HEAD\nx = 1\n=======\n", "merge-conflict", "marker lines"),
        ("SyntaxError: '(' was never closed", "x = (1\n", "syntax-error", "Error: "),
        ("IndentationError: unexpected indent", "  x = 1\n", "syntax-error", "Error: "),
        ("ModuleNotFoundError: No module named 'einops'", "import einops\n", "import-fails", "'einops'"),
        ("ModuleNotFoundError: No module named 'google'", "import google.colab\n", "import-fails", "Colab"),
        ("ImportError: attempted relative import with no known parent package", "", "import-fails", "relative"),
        ("ModuleNotFoundError: No module named 'a.b'", "from .b import c\n", "import-fails", "'a.b'"),
        ("ModuleNotFoundError: No module named '.sizes'", "", "import-fails", "no file sizes.py"),
        ("ModuleNotFoundError: No module named 'b'", "from .a import c\n", "import-fails", "no module 'b'"),
        ("ImportError: b is too old", "import b\n", "import-fails", "'b is too old'"),
        ("ImportError: cannot import name 'x' from 'helpers'", "", "import-fails", "module helpers has no 'x'"),
        ("ImportError: cannot import name 'x' from 'typing'", "", "import-fails", "typing of Python 3"),
        ("OSError: We couldn't connect to 'the hub'", "from a import b\nb.c()\n", "needs-network", "connect"),
        ("RuntimeError: timed out", "model = GPT2Model.from_pretrained('gpt2')\n", "needs-network", "line 1 calls"),
        ("ModuleNotFoundError: No module named 'x'", "import x\nx.from_pretrained('y')\n", "import-fails", "'x'"),
        ("NameError: name 'F' is not defined", "def f():\n    urlopen('x')\n", "undefined-name", "Error: "),
        ("NameError: name 'F' is not defined", "", "undefined-name", "Error: "),
        ("AttributeError: 'GPTConfig' object has no attribute 'flash'", "", "config-attribute", "'flash'"),
        ("AttributeError: 'Tensor' object has no attribute 'softmaxx'", "", "undefined-name", "Error: "),
    ],
)
def test_each_reason_has_its_name(message: str, source: str, slug: str, word: str) -> None:
    slugs, text = named(message, source)
    assert slugs == (slug,)
    assert word in text


@pytest.mark.parametrize(
    "lacks", ["'NoneType' object has no attribute 'shape'", "'int' object has no attribute 'detach'"]
)
def test_a_value_that_is_not_what_was_asked_for_is_no_unknown_name(lacks: str) -> None:
    assert "undefined-name" not in named(f"AttributeError: {lacks}")[0]


@pytest.mark.parametrize(
    "message",
    [
        "AttributeError: cannot assign module before Module.__init__() call",
        "AttributeError: cannot assign parameters before Module.__init__() call",
        "TypeError: descriptor '__init__' of 'super' object needs an argument",
        "AttributeError: 'Attention' object has no attribute '_backward_hooks'",
    ],
)
def test_a_module_that_calls_no_super_init(message: str) -> None:
    assert named(message)[0] == ("missing-super-init",)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="here it is valid")
@pytest.mark.parametrize("line", ["type Pair = tuple[int, int]", "def f[T](x: T) -> T: ...", "class A[T]: ..."])
def test_syntax_of_a_newer_python(line: str) -> None:
    slugs, text = named("SyntaxError: invalid syntax", line + "\n")
    assert slugs == ("newer-python",)
    assert "requires Python 3.12" in text


@pytest.mark.parametrize("line", ["typed = 1", "print(f'{x}')", "x = {f'{a}': 1}", "def f(x: list[int]): ..."])
def test_ordinary_syntax_is_not_taken_for_newer(line: str) -> None:
    assert named("SyntaxError: invalid syntax", line + "\n)")[0] == ("syntax-error",)


@pytest.mark.parametrize("where", ["student.py:2", "lab.ipynb[cell 4]:7", "helper.py:70"])
@pytest.mark.parametrize(
    ("line", "expected"), [("if mask:", True), ("if not mask :", True), ("k = min(key, 4)", False)]
)
def test_a_mask_that_is_taken_for_a_flag(line: str, expected: bool, where: str) -> None:
    """In whatever file: the line is that of the traceback, not of the submission's text with this number."""
    message = "RuntimeError: Boolean value of Tensor with more than one value is ambiguous"
    traceback = f"student.py:9 in attention\n    inner(mask)\n{where} in inner\n    {line}\n{message}"
    failure = Failure(name="raised", message=message, where=where, traceback=traceback)
    diagnosis = diagnose_failure(failure, source="import torch\nif mask:\n    pass\n")
    assert (diagnosis is not None and diagnosis.slugs == ("mask-truth-value",)) is expected
