"""Files that train, open data, parse arguments or plot at import: what they define is taken without that."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_attn_grader.submission.worker.failures import WorkerError
from pytest_attn_grader.submission.worker.loading import Loader

ATTENTION = "def attention(query, key, value, mask=None):\n    return value * SIZE\n"
Load = Callable[..., tuple[ModuleType, str | None]]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Load a source as a submission, here; also what was left out of it, in words."""
    numbers = itertools.count(1)
    before = set(sys.modules)

    def run(source: str, *, target: str | None = None, definitions_only: bool = False) -> tuple[ModuleType, str | None]:
        file = tmp_path / f"written_{next(numbers)}.py"
        file.write_text(source, encoding="utf-8")
        left_out: dict[str, str] = {}
        module = Loader(target, definitions_only=definitions_only, left_out=left_out).load(str(file), None)
        return module, left_out.get(module.__name__)

    yield run
    for name in set(sys.modules) - before:
        if name.startswith("written_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No arguments are typed, and nobody is there to answer."""
    monkeypatch.setattr(sys, "argv", ["student.py"])
    monkeypatch.setattr("builtins.input", _no_input)


def _no_input(_: str = "") -> str:
    raise EOFError("EOF when reading a line")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("SIZE = 3\ntext = open('input.txt').read()\nlength = len(text)\n" + ATTENTION, 2),
        ("import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('path')\n"
         "args = parser.parse_args()\nSIZE = 3\n" + ATTENTION, 4),
        ("SIZE = 3\n" + ATTENTION + "import a_library_for_plots as plots\nplots.show(attention)\n", 4),
        ("import a_library_for_data\nSIZE = 3\n" + ATTENTION, 1),
        ("from a_library_of_types import Rows\nSIZE = 3\n" + ATTENTION.replace("query,", "query: Rows[3],"), 1),
        ("SIZE = 3\n" + ATTENTION + "import torch\ntorch.zeros(2).cuda(99)\n", 5),
        ("import os, a_library_for_logs, math\nSIZE = round(math.pi) + len(os.sep) - 1\n" + ATTENTION, 1),
        ("import urllib.request\nSIZE = 3\nurllib.request.urlopen('http://localhost:9/data')\n" + ATTENTION, 3),
        ("SIZE = 3\n" + ATTENTION + "name = input()\n", 4),
        ("from __future__ import annotations\nSIZE = 3\nopen('none')\n"
         "def attention(query: Unknown, key, value, mask=None):\n    return value * SIZE\n", 3),
    ],
)  # fmt: skip
def test_definitions_are_there_without_what_fails_beside_them(load: Load, source: str, line: int) -> None:
    module, left_out = load(source)
    assert callable(module.attention)
    assert left_out is not None
    assert f"line {line} of written_1.py failed" in left_out


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("SIZE = int(open('size.txt').read())\n" + ATTENTION, FileNotFoundError),
        (
            "import base_that_is_missing as base\nclass Attention(base.Module):\n    pass\n",
            ModuleNotFoundError,
        ),
        (
            ATTENTION + "SIZE = 3\nimport missing_one\nattention = missing_one.wrap(attention)\n",
            ModuleNotFoundError,
        ),
        (
            "def helper(x):\n    return x * SIZE\n"
            "def attention(query, key, value, mask=None):\n    return helper(value)\n"
            "SIZE = len(open('size.txt').read())\n",
            FileNotFoundError,
        ),
        ("open('data.txt')\nx = 3\n", FileNotFoundError),
        ("import pytest_attn_grader.no_such_part\nSIZE = 3\n" + ATTENTION, ImportError),
        ("from .helper_that_is_missing import softmax\nSIZE = 3\n" + ATTENTION, ImportError),
        ("from google.colab import drive\ndrive.mount('/content')\nSIZE = 3\n" + ATTENTION, ImportError),
        ("class Model:\n    pass\nmodel = Model.from_pretrained('gpt2')\nSIZE = 3\n" + ATTENTION, AttributeError),
        ("SIZE = 3\n" + ATTENTION + "raise SystemExit(3)\n", SystemExit),
        ("SIZE = 3\n" + ATTENTION + "raise KeyboardInterrupt\n", KeyboardInterrupt),
        ("SIZE = 3\n" + ATTENTION + "raise MemoryError\n", MemoryError),
    ],
)
def test_what_is_graded_may_need_what_fails(load: Load, source: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        load(source)


@pytest.mark.parametrize("use", ["kernels.attend(value)", "attend(value)", "plots.show(value)"])
def test_what_could_not_be_imported_fails_where_it_is_used(load: Load, use: str) -> None:
    module, left_out = load(
        "import a_library_of_kernels as kernels\nfrom a_library_of_kernels import attend\n"
        "import math, a_library.plots as plots\n"
        f"def attention(query, key, value, mask=None, fast=False):\n    return {use} if fast else math.sqrt(value)\n"
    )
    assert left_out is not None
    assert module.attention(1, 1, 4) == 2
    with pytest.raises(ModuleNotFoundError, match="a_library"):
        module.attention(1, 1, 4, fast=True)


def test_what_could_not_be_imported_may_stand_in_annotations(load: Load) -> None:
    module, _ = load(
        "from a_library_of_types import Float, checked\n"
        "def attention(query: Float[int, 'b h s d'], key: Float, value: Float[int, '...'] | None = None):\n"
        "    return query\n"
    )
    assert module.attention(3, 1) == 3
    with pytest.raises(ModuleNotFoundError, match="a_library_of_types"):
        load("from a_library_of_types import checked\n@checked\ndef attention(query, key, value):\n    return 3\n")


def test_any_name_may_be_that_of_what_is_graded(load: Load) -> None:
    module, _ = load("import a_library_for_plots\nclass MLA:\n    size = 3\n")
    assert module.MLA.size == 3
    with pytest.raises(FileNotFoundError):
        load("SIZE = len(open('size.txt').read())\nclass MLA:\n    def forward(self):\n        return SIZE\n")


def test_a_named_target_alone_decides_what_is_needed(load: Load) -> None:
    source = "class Attention:\n    size = SIZE\nopen('none')\ndef mine(query, key, value):\n    return value\n"
    with pytest.raises(NameError):
        load(source)
    source = "rows = open('none').read()\ndef attention(q, k, v):\n    return rows\ndef mine(q, k, v):\n    return v\n"
    module, left_out = load(source, target="mine")
    assert module.mine(1, 2, 3) == 3
    assert left_out is not None


def test_only_definitions_run_after_an_import_that_did_not_end(load: Load) -> None:
    source = (
        "import torch\nSIZE = 3\n" + ATTENTION + "def train():\n    raise AssertionError('it trains')\n"
        "for epoch in range(10**9):\n    train()\nlosses = train()\n"
        "if __name__ == '__main__':\n    train()\n"
    )
    module, left_out = load(source, definitions_only=True)
    assert module.attention(1, 2, 3) == 9
    assert left_out is not None
    assert "did not end" in left_out


@pytest.mark.parametrize("end", ["while True:\n    pass\n", "SIZE = train()\n"])
def test_an_endless_loop_and_what_is_needed_stay_failures(load: Load, end: str) -> None:
    with pytest.raises(WorkerError) as caught:
        load(ATTENTION + "def train():\n    return 3\n" + end, definitions_only=True)
    assert caught.value.name == "timeout"


def test_nothing_is_left_out_where_nothing_fails(load: Load) -> None:
    module, left_out = load("SIZE = 3\n" + ATTENTION)
    assert (module.attention(1, 2, 3), left_out) == (9, None)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a package, from which its modules can be imported."""
    folder = tmp_path / "written_package"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    (folder / "sizes.py").write_text("SIZE = 3\n", encoding="utf-8")
    yield folder
    for name in [each for each in sys.modules if each.startswith("written_package")]:
        del sys.modules[name]


def test_a_file_is_taken_without_the_rest_of_its_package(package: Path) -> None:
    (package / "__init__.py").write_text("import a_library_for_plots\n", encoding="utf-8")
    (package / "mine.py").write_text("from .sizes import SIZE\n" + ATTENTION, encoding="utf-8")
    left_out: dict[str, str] = {}
    loader = Loader(None, definitions_only=False, left_out=left_out)
    module = loader.load(str(package / "mine.py"), "written_package.mine")
    assert module.attention(1, 2, 3) == 9
    assert "a_library_for_plots" in left_out[module.__name__]


@pytest.mark.parametrize(
    ("first", "own", "error"),
    [
        ("import a_library_for_plots\n", "import another_library\nSIZE = another_library.SIZE\n", "for_plots"),
        ("from .. import other\n", "SIZE = 3\n", "relative import"),
    ],
)
def test_a_package_may_be_needed(package: Path, first: str, own: str, error: str) -> None:
    (package / "__init__.py").write_text(first, encoding="utf-8")
    (package / "mine.py").write_text(own + ATTENTION, encoding="utf-8")
    loader = Loader(None, definitions_only=False, left_out={})
    with pytest.raises(ImportError, match=error):
        loader.load(str(package / "mine.py"), "written_package.mine")
