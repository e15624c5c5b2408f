"""Which parameters say that a submission has a cache, and in which ways it may be meant."""

from __future__ import annotations

import ast

import pytest

from pytest_attn_grader.submission.cache_arguments import CacheStyle, cache_styles, find_reset
from pytest_attn_grader.submission.remote.arguments import CacheArgument, LiteralArgument, TensorRef
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter


def candidate(*names: str, uses: frozenset[str] = frozenset()) -> Candidate:
    parameters = []
    for each in names:
        name, _, default = each.partition("=")
        parameters.append(Parameter(name, "positional-or-keyword", bool(default), default or None))
    return Candidate("attention", "callable", tuple(parameters), uses=uses)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("x", "layer_past=None"), CacheStyle("layer_past")),
        (("x", "past_key_value=None", "use_cache=False"), CacheStyle("past_key_value", flag="use_cache")),
        (("x", "use_cache=False"), CacheStyle(flag="use_cache")),
        (("x", "kv_cache=False"), CacheStyle(flag="kv_cache")),
        (("x", "kv_cache=None", "start_pos=0"), CacheStyle("kv_cache", start="start_pos")),
        (("x", "cos", "sin", "past_kv=None"), CacheStyle("past_kv")),
    ],
)
def test_the_first_way(names: tuple[str, ...], first: CacheStyle) -> None:
    assert next(cache_styles(candidate(*names))) == first


@pytest.mark.parametrize(
    "names",
    [("x",), ("x", "mask=None"), ("x", "start_pos=0"), ("x", "kv_cache=None", "cache_offset=0"), ("q", "k", "v")],
)
def test_no_cache_that_is_understood(names: tuple[str, ...]) -> None:
    assert not list(cache_styles(candidate(*names)))


def test_a_start_position_and_a_cache_in_the_code() -> None:
    assert list(cache_styles(candidate("x", "start_pos", uses=frozenset({"cache_k"})))) == [
        CacheStyle(start="start_pos")
    ]


def test_what_is_left_open_is_tried() -> None:
    ways = list(cache_styles(candidate("x", "freqs_cis", "cache=None", "position_ids=None")))
    assert len(ways) == len(set(ways)) == 20
    assert {way.first for way in ways} == {"nothing", "pair", "list", "empty", "object"}
    assert {way.whole_tables for way in ways} == {False, True}
    assert {way.positions for way in ways} == {None, "position_ids"}


def test_the_arguments_of_a_later_call() -> None:
    style = CacheStyle("past", "object", flag="use_cache", start="start_pos", positions="position_ids")
    assert style.arguments(5) == {
        "past": CacheArgument("object"),
        "use_cache": LiteralArgument(True),
        "start_pos": LiteralArgument(5),
        "position_ids": TensorRef("rotary.positions"),
    }


@pytest.mark.parametrize(
    ("signature", "found"),
    [
        ("reset_cache(self)", "reset_cache"),
        ("clear(self)", "clear"),
        ("empty_kv_cache(self, device=None)", "empty_kv_cache"),
        ("reset(self, batch_size)", None),
        ("reset_parameters(self)", None),
    ],
)
def test_a_method_that_empties_the_cache(signature: str, found: str | None) -> None:
    nodes = [*ast.walk(ast.parse(f"class A:\n    def {signature}: ...\nclass B:\n    def flush(self): ..."))]
    assert find_reset(nodes, "A") == found
