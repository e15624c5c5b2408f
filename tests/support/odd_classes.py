"""A class folder made of every oddity that classes arrive with, and what must become of each submission."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from tests.support.students import REFERENCE

UNSCALED = REFERENCE.replace("/ math.sqrt(query.size(-1))", "")


def write_odd_class(folder: Path, secret: Path) -> dict[str, str]:
    """Write the class; return what must become of each id: `passed`, `failed`, or a word of the reason.

    Args:
        secret: a folder with somebody else's solution, to which links point.
    """
    for place, source in {
        folder / "good" / "attention.py": REFERENCE,
        folder / "unscaled.py": UNSCALED,
        folder / "UPPER.PY": REFERENCE,
        folder / "test_named.py": REFERENCE,
        folder / "with-tests" / "attention.py": REFERENCE,
        folder / "with-tests" / "test_attention.py": "def test(): ...\n",
        folder / "with-tests" / "conftest.py": "raise SystemExit\n",
        folder / "two-files" / "one.py": REFERENCE,
        folder / "two-files" / "two.py": REFERENCE,
        folder / "twice" / "attention.py": REFERENCE,
        folder / "twice" / "attention.ipynb": "{}",
        folder / "no-code" / "homework.docx": "words",
        folder / "text.txt": "def attention",
        folder / "with:colon.py": REFERENCE,
        folder / "<script>alert(1)<" / "attention.py": REFERENCE,
        folder / "README.md": "for instructors",
        folder / "conftest.py": "raise SystemExit\n",
        folder / "__MACOSX" / "x.py": "not a submission",
        secret / "attention.py": REFERENCE,
    }.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source, encoding="utf-8")
    (folder / "empty").mkdir()
    (folder / "linked").symlink_to(secret)
    (folder / "inside").mkdir()
    (folder / "inside" / "attention.py").symlink_to(secret / "attention.py")
    (folder / "dangling.py").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.py")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 no zip")
    for name in ("sparse.py", "weights/model.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(100 * 10**9)
    (folder / "weights" / "attention.py").write_text(REFERENCE, encoding="utf-8")
    _nest(folder / "deep", 1200)
    not_utf8 = Path(os.fsdecode(os.fsencode(folder) + b"/b\xe9a"))
    not_utf8.mkdir()
    (not_utf8 / "attention.py").write_text(REFERENCE, encoding="utf-8")
    _write_zip(folder / "zipped.zip", {"hw\\attention.py": REFERENCE, "__MACOSX/hw/._attention.py": "x"})
    (folder / "zip-beside").mkdir()
    (folder / "zip-beside" / "report.pdf").write_text("words")
    _write_zip(folder / "zip-beside" / "work.zip", {"work/attention.py": UNSCALED})
    return {
        **dict.fromkeys(("good", "UPPER", "test_named", "with-tests", "with:colon", "weights", "zipped"), "passed"),
        **dict.fromkeys(("<script>alert(1)<", "b\\xe9a"), "passed"),
        **dict.fromkeys(("unscaled", "zip-beside"), "failed"),
        **dict.fromkeys(("two-files", "twice"), "which file"),
        **dict.fromkeys(("linked", "inside", "dangling"), "link"),
        "no-code": "there is no .py",
        "text": "not a .py",
        "empty": "empty",
        "pipe": "named pipe",
        "broken": "cannot be unpacked",
        "sparse": "100,000 MB",
        "deep": "nested deeper",
    }


def _nest(folder: Path, levels: int) -> None:
    """Make folders in folders; their whole path would be too long for one call."""
    here = os.open(".", os.O_RDONLY)
    try:
        folder.mkdir()
        os.chdir(folder)
        for _ in range(levels):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.fchdir(here)
        os.close(here)


def _write_zip(path: Path, contents: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
