"""`attn-grader assess` when something is wrong: one clear line, the remedy, an exit code, and nobody else concerned."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_attn_grader.reports.atomic_write import write_text_atomically
from tests.cli.assess.conftest import answer, assess, report_about, write_report, written
from tests.reports.formats import samples
from tests.support.llm_server import KEY, LlmServer, Reply, completion, error
from tests.support.reports import report_of

Serve = Callable[..., LlmServer]


def test_one_report_s_failure_is_not_another_s(folder: Path, serve: Serve) -> None:
    write_report(folder / "good.json")
    (folder / "broken.json").write_text("{")
    (folder / "deep.json").write_text('{"attn_grader":' + "[" * 100_000)
    write_report(folder / "old.json", report_about().model_copy(update={"evaluation": None}))
    write_report(folder / "empty.json", report_of())
    write_report(folder / "stopped.json", samples.ungradable("no model\x1b[2J"))
    serve(completion("no"), completion("no"), completion(answer()))
    names = [
        "gone.json",
        "broken.json",
        "report.json",
        "deep.json",
        "old.json",
        "empty.json",
        "stopped.json",
        "good.json",
    ]
    code, said, problems = assess(*names, "--tries=2")
    assert code == 2
    assert said == "good.json: 1 met, 1 not-met, 1 not-assessed, by tiny; in good.assessment.json\n"
    lines = problems.splitlines()
    assert [line.split(".json")[0] for line in lines] == [name.split(".json")[0] for name in names[:-1]]
    for line, words in zip(
        lines,
        [
            "cannot be read (No such file or directory)",
            "is not a report that this version can read",
            "no usable answer (--tries 2): the answer could not be used: there is no JSON",
            "is not a report",
            "holds no evaluation. Grade the submission again, with this version.",
            "holds no evaluation",
            r"has no verdict to assess (no model\x1b[2J). Grade the submission again.",
        ],
        strict=True,
    ):
        assert words in line
    written(folder / "good.assessment.json")
    assert not (folder / "report.assessment.json").exists()


def test_several_at_a_time(folder: Path, serve: Serve) -> None:
    names = [write_report(folder / f"r{number}.json").name for number in range(6)]
    serve(*[Reply(completion(answer()).body, delay_seconds=0.2)] * 6)
    code, said, _ = assess(*names, "--parallel=6", "--timeout=5")
    assert code == 0
    assert sorted(line.split(":")[0] for line in said.splitlines()) == names


def test_how_an_endpoint_takes_a_schema_is_found_out_once(folder: Path, serve: Serve) -> None:
    write_report(folder / "other.json")
    server = serve(error(400), error(400), completion(answer()))
    assert assess("report.json", "other.json")[0] == 0
    assert len(server.requests) == 4
    assert [written(folder / f"{name}.assessment.json")["tries"] for name in ("report", "other")] == [3, 1]


@pytest.mark.parametrize(("reply", "code"), [(error(500), 10), (completion("no"), 10)])
def test_no_answer_is_nobody_s_fault(reply: Reply, code: int, folder: Path, serve: Serve) -> None:
    serve(reply)
    assert assess("report.json", "--tries=1")[0] == code
    assert not (folder / "report.assessment.json").exists()


def test_an_earlier_assessment_outlives_a_failure(folder: Path, serve: Serve) -> None:
    serve(completion(answer()), completion("no"))
    assert assess("report.json")[0] == 0
    before = (folder / "report.assessment.json").read_bytes()
    assert assess("report.json", "--again", "--tries=1")[0] == 10
    assert (folder / "report.assessment.json").read_bytes() == before


def test_a_wrong_key_ends_it_for_all(folder: Path, serve: Serve) -> None:
    write_report(folder / "other.json")
    server = serve(error(401, f"Incorrect key: {KEY}"))
    assert assess("report.json", "other.json") == (
        10,
        "",
        "report.json: the endpoint refused, status 401: Incorrect key: …. "
        "Check OPENAI_API_KEY, OPENAI_BASE_URL and --llm-model\nother.json: not sent\n",
    )
    assert len(server.requests) == 1


def test_a_refusal_of_one_is_not_one_of_all(folder: Path, serve: Serve) -> None:
    write_report(folder / "other.json")
    serve(error(413, "too long"), completion(answer()))
    code, said, problem = assess("report.json", "other.json")
    assert code == 10
    assert said.startswith("other.json: 1 met")
    assert problem.startswith("report.json: the endpoint refused, status 413: too long.")


def test_a_disk_that_is_full_in_the_end(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        if path.name == "report.assessment.json":
            raise OSError(28, "No space left on device")
        write_text_atomically(path, text)

    monkeypatch.setattr("pytest_attn_grader.cli.assess.assess.write_text_atomically", full)
    write_report(folder / "other.json")
    serve(completion(answer()))
    code, said, problem = assess("report.json", "other.json")
    assert (code, said[:10]) == (2, "other.json")
    assert "report.assessment.json cannot be written (No space left on device)" in problem


@pytest.mark.parametrize(
    ("arguments", "model", "words"),
    [
        ((), None, "No language model is named. Use --llm-model NAME, or set ATTN_LLM_MODEL."),
        ((), "a\x1b[31m", "No language model is named."),
        ((), "tiny", "OPENAI_API_KEY is not set"),
        (("--tries=0",), "tiny", "--tries=0 is not a limit. Give a number above 0."),
        (("--timeout=nan",), "tiny", "--timeout=nan is not a limit."),
        (("--limit=-1",), "tiny", "--limit=-1 is not a limit."),
        (("other.json", "--source=mine.py"), "tiny", "--source names one file, and there are several reports."),
    ],
)
def test_what_is_typed_wrong(arguments: tuple[str, ...], model: str | None, words: str, folder: Path) -> None:
    code, said, problem = assess("report.json", *arguments, model=model)
    assert (code, said) == (2, "")
    assert problem.startswith(words)
    assert problem.count("\n") == 1


def test_the_model_may_be_in_the_environment(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(completion(answer()))
    monkeypatch.setenv("ATTN_LLM_MODEL", "small")
    assert assess("report.json", model=None)[0] == 0
    assert server.requests[0]["model"] == "small"


def test_without_the_extra(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(completion(answer()))
    monkeypatch.setitem(sys.modules, "openai", None)
    code, said, problem = assess("report.json")
    assert (code, said) == (2, "")
    assert "attn-grader assess needs the openai client" in problem
    assert "pip install 'pytest-attn-grader[llm]'" in problem


def test_interrupted(folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write_report(folder / "other.json")
    serve(completion(answer()))
    assert assess("report.json")[0] == 0
    monkeypatch.setattr("pytest_attn_grader.cli.assess.assess.write_text_atomically", interrupt)
    code, said, problem = assess("report.json", "other.json")
    assert (code, said) == (130, "report.json: assessed already (--again repeats it)\n")
    assert problem == "interrupted after 1 of 2; run the same command to continue\n"
    assert not (folder / "other.assessment.json").exists()
