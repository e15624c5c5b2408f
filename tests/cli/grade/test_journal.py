"""What is graded already survives an interruption, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_attn_grader.cli.grade.journal import Entry, Journal
from pytest_attn_grader.cli.grade.runners import Outcome


def entry(name: str, verdict: str = "passed", content_hash: str = "c", settings_hash: str = "a") -> Entry:
    return Entry(Outcome(name, verdict, 0, 1.0, 2.0), content_hash, settings_hash)


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "class.jsonl")
    journal.append(entry("ann"))
    journal.append(entry("bob", "failed"))
    journal.append(entry("ann", "failed"))
    assert Journal(journal.path).entries == {"ann": entry("ann", "failed"), "bob": entry("bob", "failed")}


@settings(deadline=None)  # each example writes to the disk
@given(st.integers(0, 400))
def test_a_line_that_was_cut_short_counts_as_not_written(tmp_path_factory, length: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "class.jsonl"
    whole = Journal(path)
    whole.append(entry("ann"))
    first = path.read_bytes()
    whole.append(entry("bob"))
    path.write_bytes(path.read_bytes()[: len(first) + length])
    after = Journal(path)
    assert after.entries["ann"] == entry("ann")
    after.append(entry("cleo"))
    assert {"ann", "cleo"} <= set(Journal(path).entries)


def test_done_means_the_same_work_graded_alike_with_a_report(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "class.jsonl")
    journal.append(entry("ann"))
    journal.append(entry("bob", "ungradable"))
    report = tmp_path / "ann.json"
    assert not journal.is_done("ann", "c", "a", report)
    report.write_text("{}")
    assert journal.is_done("ann", "c", "a", report)
    assert not journal.is_done("ann", "other", "a", report)
    assert not journal.is_done("ann", "c", "other", report)
    assert not journal.is_done("bob", "c", "a", report)
    assert not journal.is_done("cleo", "c", "a", report)
