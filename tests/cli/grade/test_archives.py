"""A zip of unknown origin is unpacked into its folder and nowhere else, and damage is reported by member."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest

from pytest_attn_grader.cli.grade import archives
from pytest_attn_grader.cli.grade.archives import unpack
from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError, find_main_file


def unpacked(tmp_path: Path) -> list[str]:
    unpack(tmp_path / "a.zip", tmp_path / "out")
    return sorted(
        each.relative_to(tmp_path / "out").as_posix() for each in (tmp_path / "out").rglob("*") if each.is_file()
    )


def write_zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x = 1\n" * 50)


def test_paths_stay_inside(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", "../../escaped.py", "/tmp/absolute.py", "C:\\Users\\ann\\drive.py", "__MACOSX/x.py")
    assert unpacked(tmp_path) == ["Users/ann/drive.py", "escaped.py", "tmp/absolute.py"]


def test_names_in_utf8_without_the_flag(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", "Umit.py")
    content = (tmp_path / "a.zip").read_bytes().replace(b"Umit.py", "Ümi.py".encode())
    (tmp_path / "a.zip").write_bytes(content)
    assert unpacked(tmp_path) == ["Ümi.py"]


def test_a_link_and_a_damaged_member_are_marked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("bob")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ann/attention.py", "damaged = 1\n")
        archive.writestr("cleo.py", "x = 1\n")
    content = (tmp_path / "a.zip").read_bytes().replace(b"damaged = 1", b"damaged = 2")
    (tmp_path / "a.zip").write_bytes(content)
    assert unpacked(tmp_path) == ["ann/attention.py.unreadable", "bob.unreadable", "cleo.py"]
    assert "it is a link" in (tmp_path / "out" / "bob.unreadable").read_text()
    with pytest.raises(UnusableSubmissionError, match=r"attention.py cannot be unpacked: Bad CRC"):
        find_main_file(tmp_path / "out" / "ann")


def test_an_encrypted_member_is_marked(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", "ann.py")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(content))
    assert unpacked(tmp_path) == ["ann.py.unreadable"]


@pytest.mark.parametrize("names", [("a", "a/b.py"), ("a/b.py", "a"), ("x" * 300 + ".py",), ("d/" * 2000 + "x.py",)])
def test_names_that_no_disk_takes(names: tuple[str, ...], tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", *names)
    assert unpacked(tmp_path)


def test_an_old_unpacked_file_is_gone(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", "old.py")
    unpacked(tmp_path)
    write_zip(tmp_path / "a.zip", "new.py")
    assert unpacked(tmp_path) == ["new.py"]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\5\6" + b"\0" * 5])
def test_what_is_not_a_zip(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UnusableSubmissionError, match=r"a.zip cannot be unpacked"):
        unpacked(tmp_path)


def test_a_header_that_lies_about_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path / "a.zip", "ann.py")
    monkeypatch.setattr(archives, "_extract", lambda opened, member, target, space: archives._CHUNK_BYTES)
    unpacked(tmp_path)
    monkeypatch.undo()
    with zipfile.ZipFile(tmp_path / "a.zip") as opened, pytest.raises(ValueError, match="larger than its header"):
        archives._extract(opened, opened.infolist()[0], tmp_path / "big.py", 10)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_into_memory_is_refused(method: int, tmp_path: Path) -> None:
    """A few hundred bytes of it are gigabytes, and zipfile gives all of them at once."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("attention.py", b"#" * (64 << 20), method)
        archive.writestr("helper.py", "x = 1\n", zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        assert unpacked(tmp_path) == ["attention.py.unreadable", "helper.py"]
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(UnusableSubmissionError, match="another method than deflate"):
        find_main_file(tmp_path / "out")
