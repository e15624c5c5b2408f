from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError, UsageError
from pytest_attn_grader.results.submission import Adaptation
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import find_target
from tests.support.students import REFERENCE, Workshop


@pytest.fixture
def own_worker(tmp_path: Path) -> Iterator[Student]:
    """A submission with a worker of its own, which is started when it is needed."""
    (tmp_path / "mine.py").write_text("import helper\nprint('hello')\n" + REFERENCE)
    (tmp_path / "helper.py").write_text("print('from the helper')\n")
    student = Student(find_target("mine", tmp_path, search_path=[]), call_seconds=5.0, tier="auto")
    yield student
    student.close()


def test_one_life(own_worker: Student, tmp_path: Path) -> None:
    student = own_worker
    # Before anything is asked, only what lies on the disk is known, and nothing is started.
    info = student.info()
    assert info.target == "mine"
    assert info.sha256 == hashlib.sha256(b"mine.py\0" + (tmp_path / "mine.py").read_bytes() + b"\0").hexdigest()
    assert (info.name, info.kind, info.files, info.captured_output) == (None, None, (), "")
    assert (student.sandbox().tier, student.sandbox().workers_started) == (None, 0)

    student.start()
    assert student.sandbox().workers_started == 1
    assert (student.sandbox().tier, student.sandbox().reason) == (student.tier.name, student.tier.why)
    assert student.tier.name in {"bwrap", "process"}
    assert student.contract.candidate.name == "attention"
    assert student.sandbox().workers_started == 1  # the one that was started is the one that is used

    info = student.info()
    assert (info.name, info.kind, info.mask_convention) == ("attention", "function", "keep")
    assert info.signature == "attention(query, key, value, mask=None)"
    assert info.where == "mine.py:6"
    assert set(info.files) == {"helper.py", "mine.py"}
    assert not info.transformers_imported
    before = info.sha256
    (tmp_path / "helper.py").write_text("print('changed')\n")
    assert student.info().sha256 != before

    student.close()
    assert student.info().captured_output == "from the helper\nhello\n"
    student.close()


def test_a_student_that_was_never_asked_is_closed_too(own_worker: Student) -> None:
    own_worker.close()
    own_worker.start()
    own_worker.close()


def test_the_notes_of_the_contract_are_adaptations(workshop: Workshop) -> None:
    student = workshop.student("def attend(a, b, c, d):\n    return a\n")
    assert [note.name for note in _contract_of(student).adaptations] == ["by-position", "mask-by-position"]
    assert all(isinstance(note, Adaptation) for note in student.info().adaptations)


def _contract_of(student: Student):
    _ = student.contract
    return student.info()


def test_calls_into_libraries_are_counted_over_the_whole_run(workshop: Workshop) -> None:
    source = (
        "from torch.nn import functional as F\n"
        "def attend(q, k, v):\n"
        "    return F.scaled_dot_product_attention(q, k, v)\n"
    )
    attention = workshop.attention(source)
    counted = sum(attention.student.info().library_calls.values())
    tensors = [torch.ones(1, 1, 2, 4) for _ in range(3)]
    attention(*tensors)
    attention(*tensors)
    assert sum(attention.student.info().library_calls.values()) == counted + 2


def test_an_import_that_fails_is_a_fault_of_the_student(workshop: Workshop) -> None:
    student = workshop.student("import no_such_module_at_all\n")
    for _ in range(2):
        with pytest.raises(SubmissionError) as caught:
            _ = student.contract
        assert caught.value.name == "import-error"
        assert "'no_such_module_at_all'" in caught.value.message
    assert student.info().name is None


def test_a_syntax_error_is_named_with_its_line(workshop: Workshop) -> None:
    with pytest.raises(SubmissionError) as caught:
        _ = workshop.student("x = 1\ndef attention(:\n").contract
    assert caught.value.name == "import-error"
    assert "in line 2" in caught.value.message


def test_several_candidates_are_a_question_to_the_user(workshop: Workshop) -> None:
    source = "def one(q, k, v): ...\ndef two(q, k, v): ...\n"
    with pytest.raises(UsageError, match="2 functions could be graded: one"):
        _ = workshop.student(source).contract
    assert workshop.student(source, name="two").contract.candidate.name == "two"


def test_the_name_of_the_contract_decides_among_helpers(workshop: Workshop) -> None:
    student = workshop.student(f"def one_head(q, k, v): ...\n{REFERENCE}\ndef softmax(x): ...\n")
    assert student.contract.candidate.name == "attention"
    ((name, words),) = student.contract.notes
    assert name == "chosen"
    assert "one_head" in words
    assert workshop.student(REFERENCE).contract.notes == ()


def test_a_name_that_is_not_there(workshop: Workshop) -> None:
    with pytest.raises(SubmissionError) as caught:
        _ = workshop.student(REFERENCE, name="atention").contract
    assert caught.value.name == "no-target"
    assert "Did you mean 'attention'?" in caught.value.message


def test_the_mask_convention_may_stand_at_the_function_or_in_the_module(workshop: Workshop) -> None:
    function = "def attention(q, k, v, mask): ...\n"
    for declared in ("ATTN_MASK = 'additive'\n", "attention.ATTN_MASK = 'additive'\n"):
        assert workshop.student(function + declared).contract.mask_convention == "additive"


def test_a_prepared_restart_is_the_one_that_is_used_with_its_own_limit(own_worker: Student) -> None:
    assert own_worker.contract.candidate.name == "attention"
    own_worker.prepare_restart()
    prepared = own_worker._restarted
    assert prepared is not None
    assert prepared.sandbox().workers_started == 1
    own_worker.prepare_restart()
    assert own_worker._restarted is prepared

    again = own_worker.restart(run_seconds=7.0)
    try:
        assert again is prepared
        assert again.limits.run_seconds == 7.0
        assert again.remote.generation == 0
        assert again.sandbox().workers_started == 1
    finally:
        again.close()
    assert own_worker.limits.run_seconds is None


def test_closing_ends_a_prepared_restart_that_was_never_used(own_worker: Student) -> None:
    own_worker.prepare_restart()
    prepared = own_worker._restarted
    assert prepared is not None
    worker = prepared._first_worker
    assert worker is not None
    worker.wait_until_ready()
    assert worker.alive
    own_worker.close()
    assert not worker.alive


def test_the_source_is_read_when_the_submission_is_first_asked_for_not_when_its_worker_starts(
    own_worker: Student, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from torch.nn.functional import scaled_dot_product_attention as attention\n")
    own_worker.start()
    path.write_text(REFERENCE)
    assert own_worker.contract.candidate.name == "attention"
    assert not own_worker.scan_library().named
