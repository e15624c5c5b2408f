from __future__ import annotations

import pytest

from pytest_attn_grader.submission.worker.ipython_syntax import translate_cell


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        ("x = 1", "x = 1"),
        ("%time f()\nx = 1", "f()\nx = 1\n"),
        ("%timeit f()\nx = 1", "pass\nx = 1\n"),
        ("if x:\n    !ls\n", "if x:\n    pass\n"),
        ("%%time\nx = 1", "\nx = 1\n"),
        ("%%bash\nls", ""),
        ("x = (7\n% 2)", "x = (7\n% 2)"),
        ("help?", "pass\n"),
        ("torch.softmax??", "pass\n"),
        ('files = !ls "*.txt', "files = []\n"),
        ("here = %pwd", "here = None\n"),
        ("!pip install \\\n    einops\nx = 1", "pass\n\nx = 1\n"),
        ("%matplotlib inline\nx = 1  # why the root?", "pass\nx = 1  # why the root?\n"),
        ("%matplotlib inline\nprint('%d'\n      % 4)", "pass\nprint('%d'\n      % 4)\n"),
        ("!ls\nx = '''\n%time\n!ls?\n'''", "pass\nx = '''\n%time\n!ls?\n'''\n"),
        ("!ls\nx = 9 \\\n  % 4", "pass\nx = 9 \\\n  % 4\n"),
        ("!ls\nx = 'is it?'", "pass\nx = 'is it?'\n"),
        ("!ls\nif a != b: pass", "pass\nif a != b: pass\n"),
    ],
)
def test_lines_keep_their_numbers(source: str, runs: str) -> None:
    assert translate_cell(source).source == runs


def test_a_written_file_is_kept() -> None:
    cell = translate_cell("%%writefile src/layers.py\nx = 1")
    assert (cell.source, cell.written_file, cell.written_text) == ("", "src/layers.py", "x = 1\n")


def test_top_level_await_is_python() -> None:
    assert translate_cell("await f()").source == "await f()"
