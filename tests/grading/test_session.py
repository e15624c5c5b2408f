from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME
from pytest_attn_grader.errors import ModelUnavailableError, SubmissionError, UsageError
from pytest_attn_grader.grading.assemble import assemble, collect_run_data
from pytest_attn_grader.grading.session import MAX_LIMIT_TOKENS, GradingSession
from pytest_attn_grader.models.types import LoadedModel
from pytest_attn_grader.results.report import CheckResult
from pytest_attn_grader.settings.settings import Settings
from tests.support.reports import validate_report
from tests.support.students import REFERENCE, Workshop

MakeSession = Callable[..., GradingSession]
WRONG = REFERENCE.replace("math.sqrt(query.size(-1))", "1.0")

WEIGHTS_KEPT = """
from torch.nn import functional as F

def attention(query, key, value, mask=None):
    print("called")
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
"""


@pytest.fixture
def make_session(workshop: Workshop, mini: LoadedModel) -> MakeSession:
    """A run whose worker and model are the ones that all tests share."""

    def make(source: str = REFERENCE, *, loaded: LoadedModel | None = mini, **settings: object) -> GradingSession:
        student = workshop.student(source)
        values = {"student": student.target.typed, "model": "mini", "seed": 3, **settings}
        return GradingSession(Settings(**values), process=student, loaded=loaded)  # type: ignore[arg-type]

    return make


def test_a_run_without_a_submission_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        GradingSession(Settings(student="missing.py", invocation_dir=tmp_path))


def test_nothing_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit\n")
    session = GradingSession(Settings(student="mine.py", invocation_dir=tmp_path))
    facts = collect_run_data(session, None, failed=False)
    assert facts.student is not None
    assert facts.student.target == "mine.py"
    assert (facts.model, facts.prompt, facts.comparison, facts.sandbox, facts.tolerances) == (
        None,
        None,
        None,
        None,
        (),
    )
    session.close()
    session.close()


def test_preparing_loads_what_is_not_the_students(make_session: MakeSession) -> None:
    session = make_session()
    session.prepare()
    assert session.lazy_prompt.peek() is not None
    assert session.submission.contract_failure is None
    assert session.submission.lazy_attention.peek() is None
    assert session.prompt.tokens[0] == "The"


def test_a_layer_that_is_not_there(make_session: MakeSession) -> None:
    session = make_session(layer_idx=99, device="cpu", loaded=None)
    with pytest.raises(UsageError) as caught:
        session.prepare()
    layers = make_session().loaded.model.config.num_hidden_layers
    assert str(caught.value) == f"--attn-layer=99: mini has {layers} layers, numbered 0 to {layers - 1}."
    facts = collect_run_data(session, caught.value, failed=False)
    assert (facts.fault, facts.fault_exit_code) == (str(caught.value), 4)


def test_a_model_that_cannot_be_had(make_session: MakeSession, tmp_path: Path) -> None:
    session = make_session(model=str(tmp_path / "no-model"), device="cpu", loaded=None)
    with pytest.raises(ModelUnavailableError, match="no-model") as caught:
        session.prepare()
    assert collect_run_data(session, caught.value, failed=False).fault_exit_code == 10


def test_several_candidates_end_the_preparation(make_session: MakeSession) -> None:
    session = make_session("def one(q, k, v): ...\ndef two(q, k, v): ...\n")
    with pytest.raises(UsageError, match="2 functions could be graded"):
        session.prepare()


@pytest.mark.parametrize(
    ("source", "import_name", "contract_name", "call_name"),
    [
        (REFERENCE, None, None, None),
        ("import no_such_module_of_mine\n", "import-error", "import-error", "import-error"),
        ("x = 1\n", None, "no-target", "no-target"),
        ("def attention(q, k, v): raise ValueError('no')\n", None, None, "raised"),
    ],
)
def test_a_fault_of_the_students_is_a_result(source, import_name, contract_name, call_name, make_session) -> None:
    session = make_session(source)
    session.prepare()
    submission = session.submission
    failures = (submission.import_failure, submission.contract_failure, submission.call_failure)
    assert [failure and failure.name for failure in failures] == [import_name, contract_name, call_name]
    facts = collect_run_data(session, None, failed=False)
    assert (facts.comparison is None) == (call_name is not None)
    validate_report(assemble(session.settings, facts, (), reason="only a test"))


def test_a_probe_is_put_to_the_student_once(make_session: MakeSession) -> None:
    session = make_session()
    first = session.run_probe("basic")
    assert session.run_probe("basic") is first
    future = session.run_probe("unpadded", "other-future")
    assert session.run_probe("unpadded", "other-future") is future is not session.run_probe("unpadded")
    assert future.probe.first_changed == 5
    assert list(session.observations) == ["basic", "unpadded:other-future", "unpadded"]
    with pytest.raises(KeyError):
        session.run_probe("no such probe")


def test_the_first_answer_says_early_that_there_is_something_to_diagnose(make_session: MakeSession) -> None:
    for source, is_wrong in ((REFERENCE, False), (WRONG, True)):
        session = make_session(source)
        assert not session.is_wrong_at_first
        session.run_probe("basic")
        assert session.is_wrong_at_first is is_wrong


def test_the_seed_decides_what_is_asked(make_session: MakeSession) -> None:
    same, again, other = (make_session(seed=seed).run_probe("single").probe.query for seed in (1, 1, 2))
    assert same.equal(again)
    assert not same.equal(other)


def test_the_limit_is_the_models_own(make_session: MakeSession, mini: LoadedModel) -> None:
    observation = make_session().run_probe("limit")
    limit = min(MAX_LIMIT_TOKENS, mini.model.config.max_position_embeddings)
    assert observation.probe.query.shape[-2] == limit
    assert observation.student.failure is None


def test_experiments_are_remembered(make_session: MakeSession) -> None:
    session = make_session()
    assert session.run_continuations(use_cache=True) is session.run_continuations(use_cache=True)
    assert session.run_continuations(use_cache=False).student == session.run_continuations(use_cache=True).student
    assert session.comparison is session.comparison
    assert session.student_model is session.student_model
    assert session.run_gradcheck().message == ""
    assert session.run_gradient_flow().relative_error < 1e-4
    assert session.speed_benchmark.forward_at().slowdown > 0
    names = {phase.name for phase in session.clock.phases}
    assert {"patching", "comparison", "model", "gradcheck", "speed"} <= names


def test_a_whole_run_as_the_report_shows_it(make_session: MakeSession) -> None:
    session = make_session(WEIGHTS_KEPT, layer_idx=1)
    session.prepare()
    observation = session.run_probe("basic")
    assert observation.output_error < 1e-4
    result = CheckResult(id="a.b", title="t", category="equivalence", outcome="passed")
    report = assemble(session.settings, collect_run_data(session, None, failed=False), (result,), exit_code=0)
    validate_report(report)
    student = report.student
    assert (student.name, student.kind, student.rank, student.returns_weights) == ("attention", "function", 4, False)
    assert [adaptation.name for adaptation in student.adaptations] == ["weights-recovered"]
    assert sum(student.library_calls.values()) > 1
    assert "called" in student.captured_output
    config = session.loaded.model.config
    assert (report.model.used, report.model.layer_idx, report.model.num_heads) == (
        "mini",
        1,
        config.num_attention_heads,
    )
    assert report.model.architecture == "GPT2LMHeadModel"
    assert report.model.head_dim == config.hidden_size // config.num_attention_heads
    assert report.prompt.tokens == session.prompt.tokens
    assert report.prompt.ids == tuple(session.prompt.input_ids[0].tolist())
    assert report.comparison is not None
    assert report.comparison.layer_idx == 1
    assert [tolerance.probe for tolerance in report.tolerances] == ["basic"]
    assert report.environment.keys() >= {"python", "torch", "transformers", "pytest-attn-grader"}
    assert report.peak_memory_bytes is None or report.peak_memory_bytes > 1e8
    assert report.sandbox.requested == "auto"
    assert report.sandbox.limits["call_seconds"] == 5
    assert (report.verdict, report.exit_code, report.seeds) == ("passed", 0, {"inputs": 3})


def test_a_function_that_needs_adapting_has_it_in_the_report(make_session: MakeSession) -> None:
    source = "def attention(a, b, c, allowed):\n    length, width = a.shape\n    return a * 1\n"
    session = make_session(source)
    session.run_probe("unpadded")
    student = collect_run_data(session, None, failed=False).student
    assert student is not None
    assert [each.name for each in student.adaptations] == [
        "by-position",
        "mask-by-position",
        "rank-2",
        "weights-recovered",
    ]
    assert student.rank == 2


def test_a_student_that_fails_in_the_model_has_no_comparison(make_session: MakeSession) -> None:
    session = make_session("def attention(q, k, v, mask):\n    assert q.shape[0] == 3, 'three'\n    return q * 1\n")
    assert session.submission.call_failure is None
    facts = collect_run_data(session, None, failed=False)
    assert facts.comparison is None
    with pytest.raises(SubmissionError, match="AssertionError: three"):
        _ = session.comparison


def test_closing_ends_the_worker_and_lets_go_of_the_model(make_session: MakeSession, mini: LoadedModel) -> None:
    session = make_session()
    _ = session.student_model
    ended = []
    session.submission.process.close = lambda: ended.append(True)  # type: ignore[method-assign]
    session.close()
    assert ended == [True]
    assert session.lazy_model.peek() is None
    assert session.lazy_patched.peek() is None
    session.close()


def test_every_probe_name_of_the_session_is_a_spec(make_session: MakeSession) -> None:
    session = make_session()
    for name, spec in SPEC_BY_NAME.items():
        assert replace(session._build_probe(name), upstream=None).shape_text.startswith(f"batch {spec.batch_size}")
