"""Which tests a graded run consists of: the grader's checks, and paths only when the user gave some."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader._utils.imports import fast_imports

CHECKS_DIR = Path(__file__).parents[1] / "checks"
# The order is the order of understanding: what comes first explains what comes later; the budget needs the rest done.
CHECK_FILES = tuple(
    str(CHECKS_DIR / f"test_{name}.py")
    for name in (
        "contract",
        "shape",
        "weights",
        "masking",
        "equivalence",
        "gradients",
        "purity",
        "similarity",
        "behaviour",
        "coherence",
        "budget",
    )
)
# Options of pytest that select tests; `-k` and `-m` may have their value attached.
SELECTION_OPTIONS = ("-k", "-m", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise")
# The beginning of their node ids, wherever the package is installed.
CHECKS_NODEID_PREFIX = "pytest_attn_grader/checks/"


@dataclass(frozen=True)
class CheckMark:
    """The `attn_check` marker of one test, with the parameters of the test filled in."""

    id: str
    title: str
    category: str
    needs: tuple[str, ...] = ()
    weight: float = 1.0

    @classmethod
    def of(cls, item: pytest.Item) -> CheckMark | None:
        """Read the marker.

        Raises:
            pytest.UsageError: it cannot be read; the message names the test and what is wrong.
        """
        from pytest_attn_grader.results.report import CATEGORIES

        marker = item.get_closest_marker("attn_check")
        if marker is None:
            return None
        fields: dict[str, Any] = {"category": "custom", "needs": (), "weight": 1.0, **marker.kwargs}
        if marker.args or not {"id", "title"} <= fields.keys() or not fields.keys() <= cls.__dataclass_fields__.keys():
            raise pytest.UsageError(
                f"{item.nodeid}: attn_check takes the keywords id, title, category, needs and weight, got {marker}"
            )
        if fields["category"] not in CATEGORIES:
            raise pytest.UsageError(
                f"{item.nodeid}: attn_check got category={fields['category']!r}: it is one of {', '.join(CATEGORIES)}"
            )
        if isinstance(fields["needs"], str):
            raise pytest.UsageError(
                f"{item.nodeid}: attn_check got needs={fields['needs']!r}: write needs=({fields['needs']!r},)"
            )
        callspec = getattr(item, "callspec", None)
        if callspec is not None:
            fields["id"] = f"{fields['id']}[{callspec.id}]"
            fields["title"] = _filled_in(fields["title"], callspec.params, item)
        # The first of several variants may be what the others need.
        return cls(**{**fields, "needs": tuple(need for need in fields["needs"] if need != fields["id"])})


def _filled_in(title: str, params: Mapping[str, object], item: pytest.Item) -> str:
    try:
        return title.format(**{name: str(value) for name, value in params.items()})
    except (KeyError, IndexError, ValueError):
        raise pytest.UsageError(
            f"{item.nodeid}: the title {title!r} of attn_check asks for something else than {', '.join(params)}"
        ) from None


def has_explicit_paths(early_config: pytest.Config) -> bool:
    """Whether the user named paths: then those folders were asked for."""
    return bool(_foreign_paths(early_config.known_args_namespace.file_or_dir))


def disable_conftests(early_config: pytest.Config) -> None:
    """Load no conftest.py unless the user named paths."""
    if not has_explicit_paths(early_config):
        early_config.known_args_namespace.noconftest = True


def drop_cwd_from_sys_path(early_config: pytest.Config) -> None:
    """Import nothing from the current folder, which `python -m pytest` puts first on `sys.path`; again without paths.

    A student's `numpy.py` or `transformers.py` would run in the grading process. The worker has its own path.
    """
    if not has_explicit_paths(early_config):
        here = {"", str(Path.cwd())}
        sys.path[:] = [entry for entry in sys.path if entry not in here]


class ChecksModule(pytest.Module):
    """One of our own modules: collected whole, whatever the ini file of the folder says about the names of tests.

    Attributes:
        offered: the ids of its checks; None before it was collected. Other plugins (`--lf`) may take some of them away
            without a word.
    """

    offered: tuple[str, ...] | None = None

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        with fast_imports():
            # Their failures are told by `Evidence`, not by rewritten assertions.
            children = list(super().collect())
        marks = [CheckMark.of(child) for child in children if isinstance(child, pytest.Item)]
        self.offered = tuple(mark.id for mark in marks if mark is not None)
        return children

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")

    def classnamefilter(self, name: str) -> bool:
        return False


def make_module(module_path: Path, parent: pytest.Collector) -> ChecksModule:
    """A check file's collector. Its node id is the same wherever the package is installed and pytest is started."""
    node_id = f"{CHECKS_NODEID_PREFIX}{module_path.name}"
    return ChecksModule.from_parent(parent, path=module_path, nodeid=node_id)


def collected_check_ids(modules: Iterable[ChecksModule], items: Iterable[pytest.Item]) -> set[str]:
    """Every check there was to run: ours whether or not they were selected, and what an instructor added."""
    marks = (CheckMark.of(item) for item in items)
    offered = {mark.id for mark in marks if mark is not None}
    # pytest makes several collectors of a file and asks one of them.
    by_file = {str(module.path): module.offered for module in modules if module.offered is not None}
    for file in CHECK_FILES:
        offered.update(by_file.get(file, (f"all of {Path(file).stem}",)))
    return offered


def is_check_file(path: Path) -> bool:
    return str(path) in CHECK_FILES


def add_check_files(config: pytest.Config) -> None:
    """Collect the checks; beside them only what was named on the command line (not the ini file's testpaths)."""
    given = _foreign_paths(config.args) if config.args_source == pytest.Config.ArgsSource.ARGS else []
    config.args = [*given, *CHECK_FILES]


def _foreign_paths(paths: Iterable[str]) -> list[str]:
    # An xdist worker is handed the controller's paths, the checks among them.
    return [path for path in paths if path not in CHECK_FILES]


def has_selection_options(config: pytest.Config) -> bool:
    """Whether the typed command line, and not an ini file, asks for some of the tests only."""
    return any(str(argument).startswith(SELECTION_OPTIONS) for argument in config.invocation_params.args)


@contextmanager
def capture_disabled(config: pytest.Config) -> Iterator[None]:
    """Let what is written inside reach the terminal."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        yield


def validate_markers(items: Iterable[pytest.Item]) -> None:
    """Read every marker, and tell `-k` the ids of the checks.

    Raises:
        pytest.UsageError: a marker cannot be read, or two checks have the same id, so that one would hide the other.
    """
    known: dict[str, str] = {}
    for item in items:
        mark = CheckMark.of(item)
        if mark is None:
            continue
        if mark.id in known:
            raise pytest.UsageError(f"{item.nodeid}: the attn_check id {mark.id!r} is taken by {known[mark.id]}")
        known[mark.id] = item.nodeid
        item.extra_keyword_matches.add(mark.id)


def is_xdist_controller(config: pytest.Config) -> bool:
    # `--tx` with `--dist` distributes without a number of processes.
    distributed = config.getoption("numprocesses", None) or config.getoption("dist", "no") not in {None, "no"}
    return bool(distributed) and not is_xdist_worker(config)


def is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
