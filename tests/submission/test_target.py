from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.submission import target as submission_target
from pytest_attn_grader.submission.target import Target, find_target, hash_sources, read_sources

# Nothing here may run: finding a submission is not importing it.
HERE = Path(__file__).parent
EXPLODES = "raise SystemExit('the submission was run')\n"


@pytest.fixture
def write(empty_folder: Path):
    """Write files below the folder one stands in."""

    def make(*names: str, source: str = EXPLODES) -> Path:
        for name in names:
            file = empty_folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        return empty_folder / names[0]

    return make


def find(typed: str, **more) -> Target:
    return find_target(typed, Path.cwd(), **more)


def refusal(typed: str, **more) -> str:
    with pytest.raises(UsageError) as caught:
        find(typed, **more)
    return str(caught.value)


# what there is, what is typed, and what is found: file, module, name and root (relative to where one stands)
FOUND = [
    ("attention.py", "attention", "attention.py", "attention", None, "."),
    ("attention.py", "attention:mine", "attention.py", "attention", "mine", "."),
    ("attention.py", "attention.py", "attention.py", "attention", None, "."),
    ("attention.py", "./attention.py:mine", "attention.py", "attention", "mine", "."),
    ("attention.py", "../{here}/attention.py", "attention.py", "attention", None, "."),
    ("attention.py", "{absolute}/attention.py:mine", "attention.py", "attention", "mine", "."),
    ("attention.py", "attention.py::mine", "attention.py", "attention", "mine", "."),
    ("m.py", "m:mine", "m.py", "m", "mine", "."),
    ("m.py", "m", "m.py", "m", None, "."),
    ("m.py", "m.py:mine", "m.py", "m", "mine", "."),
    ("week1/attention.py", "week1/attention.py", "week1/attention.py", "attention", None, "week1"),
    ("week1/attention.py", "week1.attention", "week1/attention.py", "week1.attention", None, "."),
    ("a/b/c/attention.py", "a.b.c.attention", "a/b/c/attention.py", "a.b.c.attention", None, "."),
    ("my-attention.py", "my-attention.py:mine", "my-attention.py", "my-attention", "mine", "."),
    ("mine v2.py", "mine v2.py", "mine v2.py", "mine v2", None, "."),
    ("attention.v2.py", "attention.v2.py", "attention.v2.py", "attention_v2", None, "."),
    ("ünïcode.py", "ünïcode", "ünïcode.py", "ünïcode", None, "."),
    ("torch.py", "torch", "torch.py", "torch", None, "."),
    (
        "src/hw/attention.py + src/hw/__init__.py",
        "src/hw/attention.py",
        "src/hw/attention.py",
        "hw.attention",
        None,
        "src",
    ),
    ("src/hw/attention.py", "src.hw.attention", "src/hw/attention.py", "src.hw.attention", None, "."),
    ("pkg/attention.py + pkg/__init__.py", "pkg/attention.py", "pkg/attention.py", "pkg.attention", None, "."),
    ("pkg/attention.py + pkg/__init__.py", "pkg.attention:f", "pkg/attention.py", "pkg.attention", "f", "."),
    ("pkg/__init__.py", "pkg/__init__.py:mine", "pkg/__init__.py", "pkg", "mine", "."),
    ("pkg/__init__.py", "pkg:mine", "pkg/__init__.py", "pkg", "mine", "."),
    ("pkg/sub/__init__.py + pkg/__init__.py", "pkg.sub:mine", "pkg/sub/__init__.py", "pkg.sub", "mine", "."),
    ("pkg/sub/a.py + pkg/sub/__init__.py + pkg/__init__.py", "pkg/sub/a.py", "pkg/sub/a.py", "pkg.sub.a", None, "."),
    ("v1.2/a.py + v1.2/__init__.py", "v1.2/a.py", "v1.2/a.py", "a", None, "v1.2"),
    ("pkg/a.v2.py + pkg/__init__.py", "pkg/a.v2.py", "pkg/a.v2.py", "a_v2", None, "pkg"),
]


@pytest.mark.parametrize(("there", "typed", "file", "module", "name", "root"), FOUND, ids=[row[1] for row in FOUND])
def test_finds(there: str, typed: str, file: str, module: str, name: str | None, root: str, write) -> None:
    write(*there.split(" + "))
    here = Path.cwd()
    typed = typed.format(here=here.name, absolute=here)
    found = find(typed, search_path=[])
    assert found == Target(typed, (here / file).resolve(), module, name, (here / root).resolve())


def test_finds_on_the_python_path(write, tmp_path: Path) -> None:
    file = write("lib/attention.py")
    assert find("attention", search_path=[str(tmp_path / "lib")]) == Target(
        "attention", file, "attention", None, file.parent
    )
    with pytest.raises(UsageError):
        find("attention", search_path=[])
    assert find("torch").path.parts[-2:] == ("torch", "__init__.py")


def test_a_file_here_comes_before_a_library(write, tmp_path: Path) -> None:
    here = write("attention.py", "lib/attention.py")
    assert find("attention", search_path=[str(tmp_path / "lib")]).path == here


def test_the_folder_one_stands_in_is_meant_not_the_process_folder(write, tmp_path: Path, monkeypatch) -> None:
    file = write("attention.py")
    monkeypatch.chdir("/")
    assert find_target("attention.py", tmp_path).path == file
    assert find_target("attention", tmp_path, search_path=[]).path == file


def test_home(write, tmp_path: Path, monkeypatch) -> None:
    file = write("attention.py")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find("~/attention.py").path == file


def test_a_link_is_followed(write, tmp_path: Path) -> None:
    file = write("real/attention.py")
    (tmp_path / "latest.py").symlink_to(file)
    assert find("latest.py") == Target("latest.py", file, "attention", None, file.parent)


def test_nothing_is_imported(write) -> None:
    before = set(sys.modules)
    write("week1/__init__.py", "week1/attention.py")
    find("week1.attention", search_path=[])
    find("week1/attention.py")
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("attention", "--attn-student=attention: there is no module 'attention' in {here} or on the Python path."),
        ("attention:f", "--attn-student=attention:f: there is no module 'attention' in {here} or on the Python path."),
        ("attention.py", "--attn-student=attention.py: there is no file {here}/attention.py."),
        (
            "no/such.py:f",
            "--attn-student=no/such.py:f: there is no file {here}/no/such.py. There is no Python file there.",
        ),
        (
            "week1",
            "--attn-student=week1 is a folder; name the file in it, as in week1/attention.py. It holds one.py, two.py.",
        ),
        (
            "week1/",
            "--attn-student=week1/ is a folder; name the file in it, as in week1/attention.py. It holds one.py, ",
        ),
        (
            "empty",
            "--attn-student=empty is a folder; name the file in it, as in empty/attention.py. It holds no Python file.",
        ),
        ("week1.three", "--attn-student=week1.three: there is no module 'week1.three' in week1 or on the Python path."),
        (
            "week1.one.f",
            "--attn-student=week1.one.f: 'week1.one' is a module, not a package; to choose something inside it write "
            "week1.one:f",
        ),
        ("week1/notes.txt", "--attn-student=week1/notes.txt: notes.txt is not a Python file (.py)."),
        (
            "week1/one.py:2x",
            "--attn-student=week1/one.py:2x: '2x' after the colon is not a Python name. Write week1/one.py:attention",
        ),
        ("week1.one:", "--attn-student=week1.one:: '' after the colon is not a Python name. Write week1.one:attention"),
        (
            "my-module",
            "--attn-student=my-module: 'my-module' is neither a module (pkg.module) nor a file (path/to/file.py).",
        ),
        ("a..b", "--attn-student=a..b: 'a..b' is neither a module (pkg.module) nor a file (path/to/file.py)."),
        (
            "week1.deep",
            "--attn-student=week1.deep: 'week1.deep' is a folder or a compiled module; name a Python file in it.",
        ),
        (r"C:\hw\attention.py", "--attn-student=C:\\hw\\attention.py: there is no file {here}/C:\\hw\\attention.py."),
        ("C:/hw/attention.py", "--attn-student=C:/hw/attention.py: there is no file {here}/C:/hw/attention.py."),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the messages show paths as they are written elsewhere")
def test_does_not_find(typed: str, message: str, write, tmp_path: Path) -> None:
    write("week1/one.py", "week1/two.py", "week1/notes.txt", "week1/deep/x.txt", "empty/x.txt")
    text = refusal(typed, search_path=[])
    assert text.startswith(message.format(here=tmp_path))


def test_a_drive_letter_is_no_module(write) -> None:
    for typed in (r"C:\hw\attention.py:mine", "C:/hw/attention.py:mine", "C:attention.py"):
        assert "there is no file" in refusal(typed, search_path=[])


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("atention", " Did you mean attention.py?"),
        ("atention.py", " Did you mean attention.py?"),
        ("./atention.py", " Did you mean attention.py?"),
        ("pkg.atention", " Did you mean attention.py?"),
        ("pkg/atention.py", " Did you mean attention.py?"),
        ("zzz", " There are a.py, attention.py, b.py, c.py, d.py and 1 more."),
        ("zzz.py", " There are a.py, attention.py, b.py, c.py, d.py and 1 more."),
        ("empty/zzz.py", " There is no Python file there."),
    ],
)
def test_says_what_there_is_instead(typed: str, hint: str, write) -> None:
    write("attention.py", *(f"{name}.py" for name in "abcde"), "_private.py", "pkg/attention.py", "empty/x.txt")
    assert refusal(typed, search_path=[]).endswith(hint)


def test_a_compiled_module_is_no_submission(tmp_path: Path) -> None:
    import _json

    folder = Path(_json.__file__).parent
    message = refusal("_json", search_path=[str(folder)])
    assert message == "--attn-student=_json: '_json' is a folder or a compiled module; name a Python file in it."


@pytest.mark.parametrize(
    ("typed", "why"), [("x" * 300, "File name too long"), ("x" * 300 + ".py", "File name too long")]
)
@pytest.mark.skipif(sys.platform == "win32", reason="the system's own words")
def test_a_name_that_no_file_can_have(typed: str, why: str, empty_folder: Path) -> None:
    assert refusal(typed) == (
        f"--attn-student={typed} cannot be looked up ({why}). Name a module (pkg.module) or a file (path/to/file.py)."
    )


def test_the_home_of_nobody(empty_folder: Path) -> None:
    assert "there is no file" in refusal("~nobody-of-that-name/attention.py")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300))
@hypothesis_settings(deadline=None)
def test_whatever_is_typed_is_found_or_refused(typed: str) -> None:
    refused = None
    try:
        found = find_target(typed, HERE, search_path=[])
    except UsageError as error:
        refused = str(error)
    if refused is None:
        assert found.typed == typed
        assert found.path.is_file()
    else:
        assert refused.startswith(f"--attn-student={typed}")


@given(st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,2}|[a-z]{1,6}(/[a-z]{1,6}){0,2}\.py", fullmatch=True), st.data())
def test_a_name_after_the_colon_changes_only_the_name(place: str, data: st.DataObject) -> None:
    from pytest_attn_grader.submission.target import _split_name

    name = data.draw(st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,5}", fullmatch=True))
    assert _split_name(place) == (place, None)
    assert _split_name(f"{place}:{name}") == (place, name)
    assert _split_name(f"C:\\{place}") == (f"C:\\{place}", None)
    assert _split_name(f"C:/{place}:{name}") == (f"C:/{place}", name)


# --- hash_sources -----------------------------------------------------------------------------------------------------


def test_the_hash_is_of_names_and_contents(write) -> None:
    write("b/helper.py", source="x = 1\n")
    write("main.py", source="y = 2\n")
    target = find("main.py")
    expected = hashlib.sha256(b"b/helper.py\0x = 1\n\0main.py\0y = 2\n\0").hexdigest()
    assert hash_sources(target, ["main.py", "b/helper.py"]) == expected
    assert hash_sources(target, ["b/helper.py", "b/../b/helper.py"]) == expected
    assert hash_sources(target) == hashlib.sha256(b"main.py\0y = 2\n\0").hexdigest()


def test_any_change_changes_the_hash(write, tmp_path: Path) -> None:
    write("main.py", "helper.py", "other.py", source="x")
    target = find("main.py")
    files = ["main.py", "helper.py"]
    hashes = [hash_sources(target), hash_sources(target, files), hash_sources(target, [*files, "other.py"])]
    (tmp_path / "helper.py").write_text("x ")
    hashes.append(hash_sources(target, files))
    (tmp_path / "main.py").write_text("")
    hashes.append(hash_sources(target, files))
    assert all(one != other for one, other in itertools.combinations(hashes, 2))


@pytest.mark.parametrize(
    "reported",
    ["../outside.py", "/etc/passwd", "missing.py", ".", "", "link.py", "folder", "a\0b", "x" * 5000, "loop", "\ud800"],
    ids=lambda reported: ascii(reported[:15]),
)
def test_a_reported_file_counts_only_when_it_is_one_below_the_root(reported: str, write, tmp_path: Path) -> None:
    write("sub/main.py", "outside.py", "sub/folder/x.txt")
    (tmp_path / "sub" / "link.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path / "sub" / "loop")
    target = find("sub/main.py")
    assert hash_sources(target, [reported]) == hash_sources(target)


def test_a_huge_file_is_not_read(write, tmp_path: Path) -> None:
    write("main.py")
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(5_000_001)
    assert hash_sources(find("main.py"), ["huge.py"]) == hash_sources(find("main.py"))


def test_many_files_are_read_once_and_up_to_a_total(write, tmp_path: Path) -> None:
    """The list is the worker's: it may name one file in a thousand ways."""
    write("main.py", *(f"part{number}.py" for number in range(6)), source="x" * 4_000_000)
    target = find("main.py")
    with pytest.MonkeyPatch.context() as patch:
        reads: list[Path] = []
        original = submission_target._content
        patch.setattr(submission_target, "_content", lambda file: reads.append(file) or original(file))
        contents = read_sources(target, ["./" * number + f"part{number % 6}.py" for number in range(60)])
    assert len(reads) == len(contents) == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission that runs can put it there between a look at the file and the reading."""
    write("main.py")
    os.mkfifo(tmp_path / "pipe.py")
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    late = threading.Timer(2.0, (tmp_path / "pipe.py").write_bytes, [b"x"])
    late.daemon = True
    late.start()
    started = time.monotonic()
    assert hash_sources(find("main.py"), ["pipe.py"]) == hash_sources(find("main.py"))
    assert time.monotonic() - started < 2.0
    late.cancel()


def test_a_text_that_takes_minutes_is_not_analysed(write) -> None:
    write("main.py", source="x = 1\n" * 30_000)
    assert find("main.py").source.text != ""
    write("main.py", source="x = 1\n" * 40_000)
    assert find("main.py").source.text == ""


def test_a_submission_that_deletes_itself_still_has_a_hash(write) -> None:
    file = write("main.py")
    target = find("main.py")
    before = hash_sources(target)
    file.unlink()
    assert re.fullmatch("[0-9a-f]{64}", hash_sources(target))
    assert hash_sources(target) != before


def test_the_source_of_a_notebook_is_that_of_its_cells(tmp_path: Path) -> None:
    cells = [
        "%matplotlib inline\nimport torch",
        "this is no Python",
        "%%writefile helper.py\nx = 1",
        "y = 2  # the end?",
    ]
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []} for cell in cells]
    text = [{"cell_type": "markdown", "source": ["z = 3"]}]
    file = tmp_path / "week3.ipynb"
    file.write_text(json.dumps({"cells": text + code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    source = find_target(str(file), tmp_path).source.text
    assert [word for word in ("import torch", "x = 1", "y = 2") if word in source] == ["import torch", "x = 1", "y = 2"]
    ast.parse(source)
    assert "z" not in source


def test_a_notebook_that_cannot_be_read_has_no_source(tmp_path: Path) -> None:
    file = tmp_path / "week3.ipynb"
    file.write_text("no notebook")
    assert find_target(str(file), tmp_path).source.text == ""
