from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.models.types import ModelRequest, parse_model_request


@pytest.mark.parametrize(
    ("value", "kind", "name", "revision"),
    [
        ("auto", "auto", "auto", None),
        ("mini", "embedded", "mini", None),
        ("mini-llama", "embedded", "mini-llama", None),
        ("smollm2", "package", "smollm2", None),
        ("distilgpt2", "hub", "distilgpt2", None),
        ("distilbert/distilgpt2", "hub", "distilbert/distilgpt2", None),
        ("distilgpt2@main", "hub", "distilgpt2", "main"),
        ("owner/name-1.5_b@refs/pr/3", "hub", "owner/name-1.5_b", "refs/pr/3"),
        ("./auto", "path", "./auto", None),
        ("../models/own", "path", "../models/own", None),
        ("~/own", "path", "~/own", None),
        ("/srv/models/own@2", "path", "/srv/models/own@2", None),
        (".", "path", ".", None),
    ],
)
def test_understands(value: str, kind: str, name: str, revision: str | None) -> None:
    assert parse_model_request(value) == ModelRequest(kind, name, revision)


def test_existing_folder_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_model_request("owner/name").kind == "path"
    assert parse_model_request("owner/other").kind == "hub"


@pytest.mark.parametrize(
    ("name", "kind"), [("auto", "auto"), ("mini", "embedded"), ("mini-llama", "embedded"), ("smollm2", "package")]
)
def test_a_folder_does_not_hide_a_model_of_this_package(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_model_request(name).kind == kind


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "distil gpt2",
        "a/b/c",
        "https://example.org/distilgpt2",
        "distilgpt2@",
        "@main",
        "-distilgpt2",
        "owner/",
        "owner--name",
        "owner/..",
        "distilgpt2@../../x",
        "n" * 97,
        "naïve",
        "a\nb",
    ],
)
def test_refuses_what_can_be_no_model(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_model_request(value)
    assert str(caught.value).startswith(f"{value!r} is not the name of a model: ")
    for name in (
        "'auto'",
        "'mini'",
        "'mini-llama'",
        "'smollm2'",
        "'distilgpt2'",
        "'owner/name'",
        "'@revision'",
        "folder",
    ):
        assert name in str(caught.value)
