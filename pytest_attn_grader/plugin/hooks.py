"""The plugin's entry point: options, fixtures, and the switch that loads the rest when `--attn-student` is given.

Every pytest run imports this module, so it imports nothing but pytest and the table of options.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_attn_grader.plugin.stash import EVIDENCE_KEY, RUN_NAME, SESSION_KEY
from pytest_attn_grader.settings.options import add_options, read_option

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.models.prompt import Prompt
    from pytest_attn_grader.results.comparison import Comparison
    from pytest_attn_grader.settings.settings import Settings
    from pytest_attn_grader.submission.student_attention import StudentAttention

    class Observe(Protocol):
        """The type of the `attn_observe` fixture."""

        def __call__(
            self, name: str, *, variant: str | None = None, expected: str = ..., tolerate_failure: bool = False
        ) -> Observation: ...


MARKER = (
    "attn_check(id, title, category, needs=(), weight=1): a graded check; it is skipped unless the checks in `needs` "
    "passed, and `weight` is its share of the category's points"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_attn_grader.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Keep the student's files out of the grading process, and let no output that is lost end it.

    A wrapper, to come before pytest's own capturing, which puts back the streams that it finds.
    """
    if read_option(early_config, "student", early=True)[0] is not None:
        from pytest_attn_grader._utils.imports import fast_imports

        with fast_imports():
            from pytest_attn_grader._utils.output_streams import tolerate_lost_output
            from pytest_attn_grader.plugin import isolation
        tolerate_lost_output()
        isolation.isolate_from_cwd(early_config, parser, args)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if read_option(config, "student")[0] is not None:
        from pytest_attn_grader._utils.imports import fast_imports

        with fast_imports():
            from pytest_attn_grader.plugin.run import start_run
        start_run(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Turn an exception that would leave pytest with exit code 1 into the exit code of an ungradable run."""
    try:
        exit_code = yield
    except (pytest.UsageError, pytest.exit.Exception):
        raise
    except Exception as error:
        run = config.pluginmanager.get_plugin(RUN_NAME)
        if run is None:
            raise
        return run.handle_crash(error)
    run = config.pluginmanager.get_plugin(RUN_NAME)
    if exit_code == pytest.ExitCode.INTERNAL_ERROR and run is not None:
        return run.handle_internal_error()
    return exit_code


@pytest.fixture(scope="session")
def attn_session(request: pytest.FixtureRequest) -> GradingSession:
    """The grading run: submission, model and experiments, each loaded when it is first needed."""
    session = request.config.stash.get(SESSION_KEY, None)
    if session is None:
        pytest.skip("needs a submission: --attn-student=my_attention")
    return session


@pytest.fixture(scope="session")
def attn_settings(attn_session: GradingSession) -> Settings:
    """The settings of the run: thresholds, points, layer, prompt …"""
    return attn_session.settings


@pytest.fixture(scope="session")
def attn_model(attn_session: GradingSession) -> PreTrainedModel:
    """The loaded transformer, with its own attention in every layer."""
    return attn_session.loaded.model


@pytest.fixture(scope="session")
def attn_tokenizer(attn_session: GradingSession) -> Any:
    """The model's tokenizer."""
    return attn_session.loaded.tokenizer


@pytest.fixture(scope="session")
def attn_prompt(attn_session: GradingSession) -> Prompt:
    """The tokenized prompt: `text`, `input_ids` (1, tokens) and `tokens`."""
    return attn_session.prompt


@pytest.fixture(scope="session")
def attn_reference() -> Callable[..., Any]:
    """The reference attention: `(query, key, value, keep_mask) -> (attn_output, attn_weights)`."""
    from pytest_attn_grader.attention.reference import reference_attention

    return reference_attention


@pytest.fixture(scope="session")
def attn_student(attn_session: GradingSession) -> StudentAttention:
    """The submission, callable like the reference and differentiable; its code runs in the sandboxed worker."""
    return attn_session.submission.attention


@pytest.fixture(scope="session")
def attn_comparison(attn_session: GradingSession) -> Comparison:
    """The comparison of reference and student in the model on the prompt: attention per head, predictions."""
    return attn_session.comparison


@pytest.fixture
def attn_evidence(request: pytest.FixtureRequest) -> Evidence:
    """The evidence of a check: `record` keeps numbers, `check` fails with expected, actual and hint."""
    from pytest_attn_grader.grading.evidence import Evidence

    node: pytest.Item = request.node
    return node.stash.setdefault(EVIDENCE_KEY, Evidence())


@pytest.fixture
def attn_observe(attn_session: GradingSession, attn_evidence: Evidence) -> Observe:
    """Run a probe on the student: `attn_observe("basic")`; the check fails when the submission gives no answer.

    A `variant` is the same probe with other tokens or padding, or with its last queries only (`probes.VARIANTS`).
    """

    def observe(
        name: str,
        *,
        variant: str | None = None,
        expected: str = "an answer for {probe}",
        tolerate_failure: bool = False,
    ) -> Observation:
        observation = attn_session.run_probe(name, variant)
        attn_evidence.record(probe=observation.probe.name, shape=observation.probe.shape_text)
        if not tolerate_failure:
            attn_evidence.require_answer(
                observation.student.failure, expected=expected.format(probe=observation.probe.title)
            )
        return observation

    return observe
