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


# The names that each system gives to files, with the source of each, and what must become of each id.
_EXPORTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "Canvas": (
        {
            "annlee_101_9001_attention.py": REFERENCE,
            "bobray_LATE_102_9002_attention-1.py": UNSCALED,
            "cleo_103_text.html": "words",
        },
        {"101": "passed", "102": "failed", "103": "online text"},
    ),
    "Moodle": (
        {
            "Ann Lee_201_assignsubmission_file_/attention.py": REFERENCE,
            "Bob Ray_202_assignsubmission_file_/hw/attention.py": UNSCALED,
            "Cleo Ng_203_assignsubmission_onlinetext_/onlinetext.html": "words",
        },
        {"201": "passed", "202": "failed", "203": "there is no .py"},
    ),
    "Blackboard": (
        {
            "Week 3_alee_attempt_2026-01-15-10-30-45.txt": "Name: Ann Lee (alee)\n",
            "Week 3_alee_attempt_2026-01-15-10-30-45_attention.py": UNSCALED,
            "Week 3_alee_attempt_2026-01-16-10-30-45_attention.py": REFERENCE,
            "Week 3_bray_attempt_2026-01-15-10-30-45.txt": "Name: Bob Ray (bray)\n",
        },
        {"alee": "passed", "bray": "no file"},
    ),
    "Brightspace": (
        {
            "401-77 - Ann Lee - Sep 24, 2026 926 PM/attention.py": UNSCALED,
            "401-77 - Ann Lee - Sep 25, 2026 1026 AM/attention.py": REFERENCE,
            "402-77 - Bob Ray - Sep 24, 2026 926 PM/notes.txt": "words",
        },
        {"401": "passed", "402": "there is no .py"},
    ),
    "Gradescope": (
        {
            "submission_7/attention.py": REFERENCE,
            "submission_8/attention.py": UNSCALED,
            "submission_metadata.yml": "submission_7:\n  :submitters:\n  - :name: Ann Lee\n    :sid: '501'\n"
            "  - :name: Bob Ray\n    :sid: '502'\n",
        },
        {"501": "passed", "502": "passed", "submission_8": "failed"},
    ),
    "GitHub Classroom": (
        {
            "week3-ann-lee/.git/config": "",
            "week3-ann-lee/attention.py": REFERENCE,
            "week3-ann-lee/tests/test_attention.py": "def test(): ...\n",
            "week3-bob/.git/config": "",
            "week3-bob/README.md": "words",
        },
        {"ann-lee": "passed", "bob": "there is no .py"},
    ),
    "CodeGrade": (
        {
            "Ann Lee - 2026-01-15T10:30:45/attention.py": UNSCALED,
            "Ann Lee - 2026-02-15T10:30:45/attention.py": REFERENCE,
            "Bob Ray - 2026-01-15T10:30:45/attention.py": UNSCALED,
        },
        {"Ann Lee": "passed", "Bob Ray": "failed"},
    ),
    # The same numbers as in another export: each has a row.
    "Canvas of section 2": (
        {"dan_101_9003_attention.py": UNSCALED, "eve_104_9004_attention.py": REFERENCE},
        {"Canvas of section 2/101": "failed", "104": "passed"},
    ),
}


def write_exports(folder: Path) -> dict[str, str]:
    """Write an export of every system that is recognized, each a folder; return what must become of each id."""
    expected: dict[str, str] = {}
    for system, (files, outcomes) in _EXPORTS.items():
        for name, content in files.items():
            path = folder / system / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        expected |= outcomes
    expected["Canvas/101"] = expected.pop("101")
    return expected


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
