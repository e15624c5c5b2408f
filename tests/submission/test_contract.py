from __future__ import annotations

import functools
import inspect
import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_attn_grader.errors import SubmissionError, UsageError
from pytest_attn_grader.submission.candidates import choose_candidate
from pytest_attn_grader.submission.contract import CONTRACT_TEXT, Contract, resolve_contract
from pytest_attn_grader.submission.parameter_names import (
    HIDDEN_STATES,
    NEVER_A_MASK,
    PROJECTION_BIASES,
    PROJECTION_WEIGHTS,
    ROLE_NAMES,
    role_of,
)
from pytest_attn_grader.submission.remote.messages import Candidate, Parameter


def function(signature: str) -> Any:
    """A function of that signature, which returns its arguments by name."""
    scope: dict[str, Any] = {}
    exec(f"def attention({signature}): return locals()", scope)
    return scope["attention"]


def candidate(signature: str, *, name: str = "attention", kind: str = "function") -> Candidate:
    parameters = tuple(
        Parameter(
            name=each.name,
            kind=each.kind.name.lower().replace("_", "-"),
            has_default=each.default is not each.empty,
            default=None if each.default is each.empty else repr(each.default),
            annotation=None if each.annotation is each.empty else str(each.annotation),
        )
        for each in inspect.signature(function(signature)).parameters.values()
    )
    return Candidate(name, kind, parameters, line=7, file="student.py")


def call(contract: Contract, signature: str) -> dict[str, Any]:
    """Call a function of the signature as the contract says; what arrived where, each role standing for its value."""
    by_place = [slot.role for slot in contract.slots if slot.by_position]
    by_name = {slot.parameter: slot.role for slot in contract.slots if not slot.by_position}
    return dict(function(signature)(*by_place, **by_name))


# signature, and what arrives in which parameter
FITS = [
    ("query, key, value, mask=None", {"query": "query", "key": "key", "value": "value", "mask": "mask"}),
    ("q, k, v, attn_mask", {"q": "query", "k": "key", "v": "value", "attn_mask": "mask"}),
    ("Q, K, V", {"Q": "query", "K": "key", "V": "value"}),
    ("v, k, q", {"v": "value", "k": "key", "q": "query"}),
    ("mask, value, key, query", {"mask": "mask", "value": "value", "key": "key", "query": "query"}),
    ("_q, k_, v", {"_q": "query", "k_": "key", "v": "value"}),
    ("q, k, v, /, m", {"q": "query", "k": "key", "v": "value", "m": "mask"}),
    ("q, k, v, *, mask", {"q": "query", "k": "key", "v": "value", "mask": "mask"}),
    ("*, value, query, key", {"value": "value", "query": "query", "key": "key"}),
    ("a, b, c", {"a": "query", "b": "key", "c": "value"}),
    ("x1, x2, x3, x4", {"x1": "query", "x2": "key", "x3": "value", "x4": "mask"}),
    ("x1, x2, x3, mask=None", {"x1": "query", "x2": "key", "x3": "value", "mask": "mask"}),
    ("q, k, v, allowed", {"q": "query", "k": "key", "v": "value", "allowed": "mask"}),
    ("q, k, v, allowed=None", {"q": "query", "k": "key", "v": "value", "allowed": "mask"}),
    ("q, k, v, one=None, two=None", {"q": "query", "k": "key", "v": "value", "one": None, "two": None}),
    ("q, k, v, gain=1.0", {"q": "query", "k": "key", "v": "value", "gain": 1.0}),
    ("q, k, v, scale=None", {"q": "query", "k": "key", "v": "value", "scale": None}),
    ("q, k, v, is_causal=None", {"q": "query", "k": "key", "v": "value", "is_causal": None}),
    ("q, k, v, *, scale=None, mask=None", {"q": "query", "k": "key", "v": "value", "scale": None, "mask": "mask"}),
    ("q, k, v, scale=None, mask=None", {"q": "query", "k": "key", "v": "value", "scale": None, "mask": "mask"}),
    (
        "query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False",
        {
            "query": "query",
            "key": "key",
            "value": "value",
            "attn_mask": "mask",
            "dropout_p": "dropout_p",
            "is_causal": False,
            "scale": None,
            "enable_gqa": "is_grouped",
        },
    ),
    (
        "q, k, v, mask=None, dropout=0.1, training=True",
        {"q": "query", "k": "key", "v": "value", "mask": "mask", "dropout": "dropout_p", "training": "training"},
    ),
    # the annotated transformer hands over a module, or None
    (
        "q, k, v, mask=None, dropout=None",
        {"q": "query", "k": "key", "v": "value", "mask": "mask", "dropout": None},
    ),
    ("q, k, v, p_drop", {"q": "query", "k": "key", "v": "value", "p_drop": "dropout_p"}),
    ("q, k, v, gain=1.0, dropout=0.1, /", {"q": "query", "k": "key", "v": "value", "gain": 1.0, "dropout": 0.1}),
    ("q, k, v, mask, scale", {"q": "query", "k": "key", "v": "value", "mask": "mask", "scale": "factor"}),
    ("q, k, v, temperature", {"q": "query", "k": "key", "v": "value", "temperature": "divisor"}),
    ("q, k, v, soft_cap", {"q": "query", "k": "key", "v": "value", "soft_cap": "none"}),
    ("q, k, v, scale=None, softcap=0.0", {"q": "query", "k": "key", "v": "value", "scale": None, "softcap": 0.0}),
    ("q, k, v, **kwargs", {"q": "query", "k": "key", "v": "value", "kwargs": {}}),
    ("*args", {"args": ("query", "key", "value", "mask")}),
    ("*args, **kwargs", {"args": ("query", "key", "value", "mask"), "kwargs": {}}),
    ("*args, mask=None", {"args": ("query", "key", "value"), "mask": "mask"}),
    (
        "*args, dropout=0.0, flavour=1",
        {"args": ("query", "key", "value", "mask"), "dropout": "dropout_p", "flavour": 1},
    ),
    ("*args, dropout=None", {"args": ("query", "key", "value", "mask"), "dropout": None}),
    ("*key", {"key": ("query", "key", "value", "mask")}),
    ("q, *rest", {"q": "query", "rest": ("key", "value", "mask")}),
    ("v, k, q, *rest", {"v": "value", "k": "key", "q": "query", "rest": ("mask",)}),
    ("q, k, v, *rest, mask=None", {"q": "query", "k": "key", "v": "value", "rest": (), "mask": "mask"}),
    ("q, k, v, mask, *rest", {"q": "query", "k": "key", "v": "value", "mask": "mask", "rest": ()}),
    ("q, k, v, gain=1.0, *rest", {"q": "query", "k": "key", "v": "value", "gain": 1.0, "rest": ()}),
    ("*args, query, key, value", {"args": ("mask",), "query": "query", "key": "key", "value": "value"}),
]


@pytest.mark.parametrize(("signature", "arrives"), FITS, ids=[row[0] for row in FITS])
def test_fits(signature: str, arrives: dict[str, object]) -> None:
    only = candidate(signature)
    assert choose_candidate([only], None, "x") is only
    contract = resolve_contract(only, None, "x")
    assert call(contract, signature) == arrives
    assert contract.mask_convention == ("keep" if "mask" in contract.roles else "none")
    assert contract.takes_dropout == ("dropout_p" in contract.roles)
    # What goes by position comes first, as in a call.
    by_position = [slot.by_position for slot in contract.slots]
    assert by_position == sorted(by_position, reverse=True)


DOES_NOT_FIT = [
    ("", "it has no parameter for query and key and value"),
    ("x", "it has no parameter for query and key and value"),
    ("q, k", "it has no parameter for value"),
    ("q, k, vals", "it has no parameter for value"),
    ("a, b", "it has no parameter for query and key and value"),
    ("**kwargs", "it has no parameter for query and key and value"),
    ("q, k, v, mask, tau", "the grader has nothing to pass for 'tau'; give it a default"),
    ("q, k, v, one, two", "the grader has nothing to pass for 'one' and 'two'; give it a default"),
    ("q, k, v, *, tau", "the grader has nothing to pass for 'tau'; give it a default"),
    ("*args, tau", "the grader has nothing to pass for 'tau'; give it a default"),
    ("a, b, c, d, e, *args", "the grader has nothing to pass for 'd' and 'e'; give it a default"),
]


@pytest.mark.parametrize(("signature", "problem"), DOES_NOT_FIT, ids=[row[0] for row in DOES_NOT_FIT])
def test_does_not_fit(signature: str, problem: str) -> None:
    only = candidate(signature)
    with pytest.raises(SubmissionError) as caught:
        resolve_contract(only, None, "mine")
    assert caught.value.name == "no-target"
    assert caught.value.message == f"{only.signature} cannot be called as attention: {problem}."
    remedy = f"Give it this signature: {CONTRACT_TEXT}"
    if problem.startswith("the grader has nothing to pass for"):
        defaults = ", ".join(f"{name}=None" for name in re.findall(r"'(\w+)'", problem))
        remedy = f"Write {defaults} in its signature: the attention has to work without what is not passed."
    assert (caught.value.remedy, caught.value.where) == (remedy, "student.py:7")
    with pytest.raises(SubmissionError) as caught:
        choose_candidate([only], None, "mine")
    assert caught.value.message == f"mine has no function that fits. Seen: {only.signature}: {problem}."
    assert (caught.value.remedy, caught.value.where) == (remedy, "student.py:7")


@pytest.mark.parametrize("order", itertools.permutations(["q", "key", "values"]))
@pytest.mark.parametrize("rest", ["", ", mask=None", ", mask=None, dropout_p=0.0", ", *, training=False"])
def test_names_decide_whatever_the_order(order: tuple[str, ...], rest: str) -> None:
    signature = ", ".join(order) + rest
    arrived = call(resolve_contract(candidate(signature), None, "x"), signature)
    assert (arrived["q"], arrived["key"], arrived["values"]) == ("query", "key", "value")


@given(st.data())
def test_every_known_name_is_understood(data: st.DataObject) -> None:
    names = {role: data.draw(st.sampled_from(sorted(known))) for role, known in ROLE_NAMES.items()}
    order = data.draw(st.permutations(sorted(names)))
    signature = ", ".join(names[role] for role in order)
    arrived = call(resolve_contract(candidate(signature), None, "x"), signature)
    assert arrived == {name: role for role, name in names.items()}


def test_no_name_means_two_things() -> None:
    projected = [*PROJECTION_WEIGHTS.values(), *PROJECTION_BIASES.values()]
    everything = [*ROLE_NAMES.values(), *projected, HIDDEN_STATES, NEVER_A_MASK]
    for one, other in itertools.combinations(everything, 2):
        assert not one & other
    assert role_of("__Q_") == "query"
    assert role_of("anything") is None


def test_adaptations_are_noted() -> None:
    def notes(signature: str) -> dict[str, str]:
        return dict(resolve_contract(candidate(signature), None, "x").notes)

    assert notes("query, key, value, mask=None") == {}
    assert notes("a, b, c, allowed") == {
        "by-position": "a, b, c were taken as query, key, value",
        "mask-by-position": "allowed was taken as the mask",
    }
    assert notes("*args") == {"positional": "attention(*args) takes any arguments: passed query, key, value, mask"}


@pytest.mark.parametrize("declared", [None, "keep", "additive", "blocked", "none"])
@pytest.mark.parametrize("takes_mask", [True, False])
def test_mask_conventions(declared: str | None, takes_mask: bool) -> None:
    only = candidate("q, k, v, mask=None" if takes_mask else "q, k, v")
    contract = resolve_contract(only, declared, "x")
    assert contract.mask_convention == ((declared or "keep") if takes_mask else "none")
    assert ("mask" in contract.roles) == (takes_mask and declared != "none")


@pytest.mark.parametrize(
    ("signature", "arrives"),
    [
        (
            "q, k, v, mask=None, dropout=0.1, training=False",
            {"q": "query", "k": "key", "v": "value", "mask": None, "dropout": "dropout_p", "training": "training"},
        ),
        ("mask=None, q=0, k=0, v=0", {"mask": None, "q": "query", "k": "key", "v": "value"}),
        ("*args", {"args": ("query", "key", "value")}),
    ],
)
def test_a_mask_that_is_not_wanted_leaves_no_gap(signature: str, arrives: dict[str, object]) -> None:
    assert call(resolve_contract(candidate(signature), "none", "x"), signature) == arrives


def test_a_mask_that_is_asked_for_and_not_wanted() -> None:
    with pytest.raises(SubmissionError) as caught:
        resolve_contract(candidate("q, k, v, mask"), "none", "x")
    assert caught.value.name == "no-target"
    assert caught.value.message == (
        "attention(q, k, v, mask): ATTN_MASK = 'none' says that it masks by itself, but it asks for a mask."
    )
    assert caught.value.remedy == "Write mask=None, or take ATTN_MASK away."


def test_a_convention_of_no_mask_beside_a_mask_that_cannot_be_left_out() -> None:
    with pytest.raises(SubmissionError) as caught:
        resolve_contract(candidate("q=None, k=None, mask=None, v=None, /"), "none", "mine.py")
    assert caught.value.message.endswith("but what comes after mask cannot be passed without it.")


def test_a_convention_nobody_knows() -> None:
    with pytest.raises(SubmissionError) as caught:
        resolve_contract(candidate("q, k, v, mask=None"), "inverted", "mine.py")
    assert caught.value.name == "no-target"
    assert caught.value.message == "mine.py: ATTN_MASK = 'inverted' is no mask convention."
    assert caught.value.remedy == "Use one of keep, additive, blocked, none."


def module(forward: str, *, constructor: str = "d_model, num_heads", name: str = "Attention") -> Candidate:
    """A class; forward is reported with self."""
    return replace(
        candidate(constructor, name=name, kind="module-class"),
        forward_parameters=candidate(f"self, {forward}").parameters,
    )


# forward's signature, and which role fills which parameter
FORWARDS = [
    ("x", {"x": "hidden_states"}),
    ("hidden_states, attention_mask=None", {"hidden_states": "hidden_states", "attention_mask": "mask"}),
    ("inputs_embeds", {"inputs_embeds": "hidden_states"}),
    ("value", {"value": "hidden_states"}),
    ("k, mask=None", {"k": "hidden_states", "mask": "mask"}),
    ("query, key, mask", {"query": "query", "key": "key", "mask": "mask"}),
    ("query, key, value, mask=None", {"query": "query", "key": "key", "value": "value", "mask": "mask"}),
    (
        "q, k, v, key_padding_mask=None",
        {"q": "query", "k": "key", "v": "value", "key_padding_mask": "key_padding_mask"},
    ),
    ("x, mask=None, need_weights=False", {"x": "hidden_states", "mask": "mask", "need_weights": "return_weights"}),
    ("enc_for_q, enc_for_k, enc_for_v", {"enc_for_q": "query", "enc_for_k": "key", "enc_for_v": "value"}),
    ("value_in, key_in, query_in", {"value_in": "value", "key_in": "key", "query_in": "query"}),
    ("x, kv, mask=None", {"x": "query", "kv": "key", "mask": "mask"}),
    ("tgt, memory, tgt_mask", {"tgt": "query", "memory": "key", "tgt_mask": "mask"}),
    ("query, context", {"query": "query", "context": "key"}),
    ("x, context=None, mask=None", {"x": "hidden_states", "mask": "mask"}),
    ("x, layer_past=None, attention_mask=None", {"x": "hidden_states", "attention_mask": "mask"}),
]


@pytest.mark.parametrize(("forward", "arrives"), FORWARDS, ids=[row[0] for row in FORWARDS])
def test_a_module_is_told_by_its_forward(forward: str, arrives: dict[str, str]) -> None:
    only = module(forward)
    assert choose_candidate([only, candidate("x", name="helper")], None, "my.py") is only
    contract = resolve_contract(only, None, "my.py")
    assert contract.kind == "module"
    assert {slot.parameter: slot.role for slot in contract.slots} == arrives
    assert contract.mask_convention == ("keep" if {"mask", "key_padding_mask"} & set(arrives.values()) else "none")


def contract_of_forward(forward: str) -> Contract:
    return resolve_contract(module(forward), None, "x")


@pytest.mark.parametrize(
    ("forward", "roles"),
    [
        ("x, padding_mask=None", [{"hidden_states", "mask"}]),
        ("x, mask, padding_mask=None", []),
        ("x", []),
        ("x, token_positions=None", [{"hidden_states", "rotary_positions"}]),
        ("x, token_positions", []),
        ("x, mask=None", []),
    ],
)
def test_other_contracts_for_what_gives_no_answer(forward: str, roles: list[set[str]]) -> None:
    assert [other.roles for other in contract_of_forward(forward).others()] == roles


@pytest.mark.parametrize("heads", ["num_heads", "h", "H", "n_heads", "num_attention_heads", "num_query_heads"])
def test_a_number_of_heads_beside_projections(heads: str) -> None:
    contract = resolve_contract(candidate(f"x, w_q, w_k, w_v, w_o, {heads}"), None, "x")
    assert {slot.parameter: slot.role for slot in contract.slots}[heads] == "num_heads"
    alone = resolve_contract(candidate("h, w_q, w_k, w_v, w_o"), None, "x")
    assert alone.slots[0].role == "hidden_states"


@pytest.mark.parametrize(
    "signature", ["x, w_q, w_k, w_v", "x, Wq, Wk, Wv, mask=None", "hidden_states, q_proj, k_proj, v_proj"]
)
def test_a_projected_function_is_told_by_its_weights(signature: str) -> None:
    contract = resolve_contract(candidate(signature), None, "my.py")
    assert contract.kind == "projected-function"
    assert contract.roles >= {"hidden_states", "w_q", "w_k", "w_v"}


def test_of_several_modules_the_one_called_attention_is_taken() -> None:
    attention, other = module("x", name="CausalSelfAttention"), module("x", name="FeedForward")
    assert choose_candidate([other, attention], None, "my.py") is attention
    with pytest.raises(UsageError, match="2 modules could be graded"):
        choose_candidate([module("x", name="Block"), other], None, "my.py")


def test_a_forward_that_asks_for_too_much() -> None:
    with pytest.raises(SubmissionError) as caught:
        resolve_contract(module("x, rotary"), None, "my.py")
    assert caught.value.message.endswith(
        "the grader has nothing to pass for 'rotary' of its forward; give it a default."
    )
    assert caught.value.remedy.startswith("Write rotary=None in its forward")


def test_a_class_beside_functions_that_do_not_fit_is_listed_with_them() -> None:
    several = [candidate("self, x", name="Model", kind="module-class"), candidate("x", name="helper")]
    with pytest.raises(SubmissionError) as caught:
        choose_candidate(several, None, "my.py")
    assert (
        "Seen: Model(self, x): its forward has no parameter for hidden_states; helper(x): it has no parameter"
        in caught.value.message
    )


def test_a_signature_is_shown_as_it_is_written() -> None:
    assert candidate("q, k=None, *rest, gain=1.5, **more").signature == "attention(q, k=None, *rest, gain=1.5, **more)"


@given(st.lists(st.sampled_from(["q", "k", "v", "mask", "dropout", "a", "b", "scale"]), unique=True), st.data())
def test_a_contract_can_always_be_called(names: list[str], data: st.DataObject) -> None:
    """Whatever the signature: either it is refused, or the call it leads to is one that Python accepts."""
    first_default = data.draw(st.integers(0, len(names)))
    parts = [f"{name}={data.draw(st.sampled_from(['None', '0.5']))}" for name in names[first_default:]]
    parts = names[:first_default] + parts
    marks = sorted(data.draw(st.lists(st.integers(0, len(parts)), min_size=2, max_size=2)))
    if data.draw(st.booleans()) and marks[1] < len(parts):
        parts.insert(marks[1], data.draw(st.sampled_from(["*", "*rest"])))
    if data.draw(st.booleans()) and marks[0] > 0:
        parts.insert(marks[0], "/")
    signature = ", ".join(parts)
    declared = data.draw(st.sampled_from([None, "none", "additive"]))
    try:
        contract = resolve_contract(candidate(signature), declared, "x")
    except SubmissionError:
        return
    arrived = call(contract, signature)
    for name, role in (("q", "query"), ("k", "key"), ("v", "value")):
        if {"q", "k", "v"} <= set(names):
            assert arrived[name] == role


def test_the_candidate_helper_here_sees_what_python_sees() -> None:
    parameters = candidate("a, /, b, *c, d=1, **e").parameters
    kinds = ["positional-only", "positional-or-keyword", "var-positional", "keyword-only", "var-keyword"]
    assert [each.kind for each in parameters] == kinds
    assert functools.reduce(lambda text, each: f"{text} {each}", parameters, "") == " a b *c d=1 **e"
