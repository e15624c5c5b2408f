"""Collect the tests of a graded run: the grader's checks, and paths only when the user gave some."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_attn_grader._utils.imports import fast_imports
from pytest_attn_grader.settings.options import DEFAULT_POINTS

CHECKS_DIR = Path(__file__).parents[1] / "checks"
# In the order of understanding: an early failure explains later ones, and the budget is checked last. Custom checks are
# in an instructor's own files.
CHECK_FILES = tuple(str(CHECKS_DIR / f"test_{category}.py") for category in DEFAULT_POINTS if category != "custom")
# Options of pytest that select tests; `-k` and `-m` may have their value attached.
SELECTION_OPTIONS = ("-k", "-m", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise")
# The beginning of the checks' node ids, wherever the package is installed.
CHECKS_NODEID_PREFIX = "pytest_attn_grader/checks/"


@dataclass(frozen=True)
class CheckMark:
    """The `attn_check` marker of one test, with the parameters of the test filled in."""

    id: str
    title: str
    category: str
    needs: tuple[str, ...] = ()
    weight: float = 1.0

    def depends_on(self, check_id: str) -> bool:
        """Whether this check needs that one; a need without brackets means every variant of a check."""
        return any(check_id == need or check_id.startswith(f"{need}[") for need in self.needs)

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
        fields: dict[str, Any] = {"category": file_category(item.path), "needs": (), "weight": 1.0, **marker.kwargs}
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
    """Whether the user typed paths, so that their folders take part in the run."""
    return bool(_other_paths(early_config.known_args_namespace.file_or_dir))


def disable_conftests(early_config: pytest.Config) -> None:
    """Load no conftest.py unless the user named paths."""
    if not has_explicit_paths(early_config):
        early_config.known_args_namespace.noconftest = True


def drop_cwd_from_sys_path(early_config: pytest.Config) -> None:
    """Drop the current folder, which `python -m pytest` puts first on `sys.path`, unless the user named paths.

    Otherwise a student's `numpy.py` or `transformers.py` would run in the grading process. The worker has its own path.
    """
    if not has_explicit_paths(early_config):
        here = {"", str(Path.cwd())}
        sys.path[:] = [entry for entry in sys.path if entry not in here]


class ChecksModule(pytest.Module):
    """A module of checks: collected whole, whatever the ini file says about the names of tests.

    Attributes:
        check_ids: the ids of its checks; None before it was collected. Other plugins (`--lf`) may drop some later.
    """

    check_ids: tuple[str, ...] | None = None

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        with fast_imports():
            # Their failures are described by `Evidence`, not by rewritten assertions.
            children = list(super().collect())
        marks = [CheckMark.of(child) for child in children if isinstance(child, pytest.Item)]
        self.check_ids = tuple(mark.id for mark in marks if mark is not None)
        return children

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")

    def classnamefilter(self, name: str) -> bool:
        return False


def make_module(module_path: Path, parent: pytest.Collector) -> ChecksModule:
    """Make a check file's collector. Its node id does not depend on where the package is installed."""
    node_id = f"{CHECKS_NODEID_PREFIX}{module_path.name}"
    return ChecksModule.from_parent(parent, path=module_path, nodeid=node_id)


def collected_check_ids(modules: Iterable[ChecksModule], items: Iterable[pytest.Item]) -> set[str]:
    """List every check: the grader's, selected or not, and those that an instructor added."""
    marks = (CheckMark.of(item) for item in items)
    collected = {mark.id for mark in marks if mark is not None}
    by_file = _check_ids_by_file(modules)
    for file in CHECK_FILES:
        collected.update(by_file.get(file, (f"all of {Path(file).stem}",)))
    return collected


def _check_ids_by_file(modules: Iterable[ChecksModule]) -> dict[str, tuple[str, ...]]:
    # pytest makes several collectors of a file and collects one of them.
    return {str(module.path): module.check_ids for module in modules if module.check_ids is not None}


def is_check_file(path: Path) -> bool:
    return str(path) in CHECK_FILES


def file_category(path: Path) -> str:
    """The category of the checks in a file, unless they name another: the grader's files are named after theirs."""
    return path.stem.removeprefix("test_") if is_check_file(path) else "custom"


def add_check_files(config: pytest.Config) -> None:
    """Collect the checks and the paths of the command line, but not the ini file's testpaths."""
    given = _other_paths(config.args) if config.args_source == pytest.Config.ArgsSource.ARGS else []
    config.args = [*given, *CHECK_FILES]


def _other_paths(paths: Iterable[str]) -> list[str]:
    # An xdist worker gets the controller's paths, which include the checks.
    return [path for path in paths if path not in CHECK_FILES]


def has_selection_options(config: pytest.Config) -> bool:
    """Whether the typed command line, and not an ini file, selects some of the tests."""
    return any(str(argument).startswith(SELECTION_OPTIONS) for argument in config.invocation_params.args)


def order_checks(modules: Iterable[ChecksModule], items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Put the checks into their own order, the other tests after them, and every check after those that it needs."""
    by_file = _check_ids_by_file(modules)
    known = [check_id for file in CHECK_FILES for check_id in by_file.get(file, ())]
    numbers = {check_id: number for number, check_id in enumerate(known)}
    marks = [(CheckMark.of(item), item) for item in items]
    marks.sort(key=lambda pair: len(numbers) if pair[0] is None else numbers.get(pair[0].id, len(numbers)))
    placed: dict[pytest.Item, None] = {}

    def place(mark: CheckMark | None, item: pytest.Item, waiting: frozenset[str]) -> None:
        if mark is not None and item not in placed:
            for other, other_item in marks:
                if other is not None and other.id not in waiting and mark.depends_on(other.id):
                    place(other, other_item, waiting | {other.id})
        placed[item] = None

    for mark, item in marks:
        place(mark, item, frozenset() if mark is None else frozenset({mark.id}))
    return list(placed)


@contextmanager
def capture_disabled(config: pytest.Config) -> Iterator[None]:
    """Let output reach the terminal inside the block."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        yield


def validate_markers(items: Iterable[pytest.Item]) -> None:
    """Read every marker, and let `-k` match the ids of the checks.

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
