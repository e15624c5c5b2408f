from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_attn_grader.plugin import collection
from pytest_attn_grader.plugin.collection import CHECK_FILES, CheckMark

CHECKS = """
import pytest

@pytest.mark.attn_check(id="own.least", title="the least")
def test_least(): ...

@pytest.mark.parametrize(("side", "size"), [("left", 3), pytest.param("right", 4, id="r")])
@pytest.mark.attn_check(
    id="own.all", title="{size} on the {side}", category="masking", needs=["own.least", "shape[basic]"], weight=2
)
def test_all(side, size): ...

def test_unmarked(): ...
"""


def item_with(pytester: pytest.Pytester, marker: str, *, decorators: str = "", parameters: str = "") -> pytest.Item:
    source = f"import pytest\n{decorators}\n@pytest.mark.attn_check({marker})\ndef test_it({parameters}): ..."
    return pytester.getitems(source)[0]


def test_there_is_a_file_for_every_check_file_and_the_other_way_round() -> None:
    assert sorted(CHECK_FILES) == sorted(map(str, collection.CHECKS_DIR.glob("test_*.py")))


def test_a_mark_is_read_with_its_defaults_and_its_parameters(pytester: pytest.Pytester) -> None:
    marks = [CheckMark.of(item) for item in pytester.getitems(CHECKS)]
    needs = ("own.least", "shape[basic]")
    assert marks == [
        CheckMark("own.least", "the least", "custom", (), 1.0),
        CheckMark("own.all[left-3]", "3 on the left", "masking", needs, 2),
        CheckMark("own.all[r]", "4 on the right", "masking", needs, 2),
        None,
    ]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("marker", ["'own.id', title='t'", "id='own.id'", "title='t'", "id='a', title='t', point=3"])
def test_a_mark_that_is_not_complete(marker: str, pytester: pytest.Pytester) -> None:
    item = item_with(pytester, marker)
    with pytest.raises(pytest.UsageError) as caught:
        CheckMark.of(item)
    expected = f"{item.nodeid}: attn_check takes the keywords id, title, category, needs and weight, got Mark("
    assert str(caught.value).startswith(expected)


def test_an_unknown_category(pytester: pytest.Pytester) -> None:
    item = item_with(pytester, "id='a', title='t', category='masks'")
    with pytest.raises(pytest.UsageError) as caught:
        CheckMark.of(item)
    assert str(caught.value).startswith(
        f"{item.nodeid}: attn_check got category='masks': it is one of contract, shape, weights, masking, "
    )


def test_a_need_that_is_no_list_of_needs(pytester: pytest.Pytester) -> None:
    # Taken as a list it would be the needs 'a', '.' and 'b', which stand in nobody's way.
    item = item_with(pytester, "id='a', title='t', needs='a.b'")
    with pytest.raises(pytest.UsageError) as caught:
        CheckMark.of(item)
    assert str(caught.value) == f"{item.nodeid}: attn_check got needs='a.b': write needs=('a.b',)"


def test_a_title_that_asks_for_a_parameter_that_is_not_there(pytester: pytest.Pytester) -> None:
    decorators = "@pytest.mark.parametrize('side', ['left'])"
    item = item_with(pytester, "id='a', title='on the {where}'", decorators=decorators, parameters="side")
    with pytest.raises(pytest.UsageError) as caught:
        CheckMark.of(item)
    assert str(caught.value) == (
        f"{item.nodeid}: the title 'on the {{where}}' of attn_check asks for something else than side"
    )


def test_checks_are_found_by_their_ids(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(CHECKS)
    collection.validate_markers(items)
    known = [item.extra_keyword_matches for item in items]
    assert known == [{"own.least"}, {"own.all[left-3]"}, {"own.all[r]"}, set()]


def test_two_checks_of_one_id_would_hide_each_other(pytester: pytest.Pytester) -> None:
    source = CHECKS + "\n@pytest.mark.attn_check(id='own.least', title='again')\ndef test_again(): ...\n"
    items = pytester.getitems(source)
    with pytest.raises(pytest.UsageError) as caught:
        collection.validate_markers(items)
    assert str(caught.value) == f"{items[-1].nodeid}: the attn_check id 'own.least' is taken by {items[0].nodeid}"


@pytest.mark.parametrize(
    ("given", "shut_out"), [([], True), ([*CHECK_FILES], True), (["tests"], False), ([*CHECK_FILES, "x.py"], False)]
)
def test_conftests_of_strangers_stay_out_unless_paths_were_given(given: list[str], shut_out: bool) -> None:
    config: Any = SimpleNamespace(known_args_namespace=Namespace(file_or_dir=given, noconftest=False))
    collection.disable_conftests(config)
    assert config.known_args_namespace.noconftest is shut_out


@pytest.mark.parametrize(
    ("args", "source", "collected"),
    [
        ([], pytest.Config.ArgsSource.INVOCATION_DIR, [*CHECK_FILES]),
        (["tests"], pytest.Config.ArgsSource.TESTPATHS, [*CHECK_FILES]),
        (["own.py"], pytest.Config.ArgsSource.ARGS, ["own.py", *CHECK_FILES]),
        ([*CHECK_FILES, "own.py"], pytest.Config.ArgsSource.ARGS, ["own.py", *CHECK_FILES]),
    ],
)
def test_what_is_collected(args: list[str], source: pytest.Config.ArgsSource, collected: list[str]) -> None:
    config: Any = SimpleNamespace(args=args, args_source=source)
    collection.add_check_files(config)
    assert config.args == collected


def test_who_is_who_with_xdist() -> None:
    def config(numprocesses: int | None, **more: object) -> Any:
        return SimpleNamespace(getoption=lambda name, default: numprocesses, **more)

    assert not collection.is_xdist_controller(config(None))
    assert collection.is_xdist_controller(config(2))
    assert not collection.is_xdist_controller(config(2, workerinput={}))
    assert collection.is_xdist_worker(config(2, workerinput={}))


def test_without_xdist_nobody_is_a_controller(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("-p", "no:xdist")
    assert not collection.is_xdist_controller(config)
    assert not collection.is_xdist_worker(config)


def test_the_checks_lie_beside_the_module() -> None:
    assert Path(collection.__file__).parents[1] / "checks" == collection.CHECKS_DIR
