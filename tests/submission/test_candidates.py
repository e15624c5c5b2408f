"""The choice of what is graded, and the note on what was not chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_attn_grader.errors import SubmissionError, UngradableError, UsageError
from pytest_attn_grader.submission.candidates import choice_note, choose_candidate
from pytest_attn_grader.submission.contract import CONTRACT_TEXT
from pytest_attn_grader.submission.remote.messages import Candidate
from tests.submission.test_contract import candidate, module


def test_the_only_one_that_fits_is_taken() -> None:
    helper, wanted = candidate("x", name="softmax"), candidate("q, k, v")
    model = candidate("self, x", name="Model", kind="module-class")
    assert choose_candidate([helper, model, wanted], None, "x") is wanted


def test_of_several_none_is_guessed() -> None:
    several = [candidate("q, k, v", name="first"), candidate("x", name="helper"), candidate("a, b, c", name="second")]
    with pytest.raises(UsageError) as caught:
        choose_candidate(several, None, "my.py")
    assert str(caught.value) == (
        "--attn-student=my.py: 2 functions could be graded: first(q, k, v), second(a, b, c). "
        "Choose one: --attn-student=my.py:second"
    )
    assert choose_candidate(several, "second", "my.py:second") is several[2]


def test_one_that_is_chosen_is_taken_even_if_it_does_not_fit() -> None:
    # What is wrong with it is said by resolve_contract, in terms of this one function.
    chosen = candidate("x", name="helper")
    assert choose_candidate([candidate("q, k, v"), chosen], "helper", "my.py:helper") is chosen
    instance = candidate("q, k, v", name="attend", kind="callable")
    assert choose_candidate([instance], "attend", "my.py:attend") is instance


def test_a_chosen_name_that_cannot_be_called() -> None:
    with pytest.raises(SubmissionError) as caught:
        choose_candidate([candidate("q, k, v")], "CONSTANT", "my.py:CONSTANT")
    assert caught.value.name == "no-target"
    assert caught.value.message == "my.py:CONSTANT: 'CONSTANT' is there, but it is nothing that can be called."
    assert caught.value.remedy == f"Define it as a function: {CONTRACT_TEXT}"


def test_an_empty_submission() -> None:
    with pytest.raises(SubmissionError) as caught:
        choose_candidate([], None, "my.py")
    assert caught.value.message == "my.py has no function that fits. It defines no function at all."


def test_a_class_within_a_function_is_to_be_defined_outside_or_made() -> None:
    maker = replace(candidate("d_model, heads", name="build"), uses=frozenset({"__qualname__", "nn"}))
    with pytest.raises(SubmissionError) as caught:
        choose_candidate([maker], None, "my.py")
    words = "Define the class outside of build, or use it: attention = build(…), at the top level of the file."
    assert caught.value.remedy == words


@pytest.mark.parametrize("wanted", [None, "Attention"])
def test_what_cannot_be_graded_costs_no_attempt(wanted: str | None) -> None:
    several = [candidate("self, x", name=name, kind="class") for name in ("Softmax", "Attention")]
    with pytest.raises(UngradableError, match=r"Attention is a class, but no torch\.nn\.Module.*No attempt is counted"):
        choose_candidate(several, wanted, "my.py")


def note_on(*candidates: Candidate) -> str:
    notes = choice_note(choose_candidate(candidates, None, "my.py"), candidates)
    return "; ".join(text for _, text in notes)


def test_what_was_not_chosen_is_noted() -> None:
    function, named = candidate("q, k, v", name="attend"), candidate("q, k, v")
    whole = module("x", name="MultiHeadAttention")
    head = module("x", name="AttentionHead")
    caller = replace(candidate("q, k, v", name="outer"), uses=frozenset({"attend"}))
    instance = replace(candidate("x", name="my_attention", kind="module-instance"), class_name="MultiHeadAttention")
    block = module("x", name="Block")
    assert note_on(function) == note_on(whole, instance, block) == ""
    assert note_on(function, named) == "attention is graded, by its name; attend could be chosen with :NAME"
    assert note_on(function, caller) == (
        "outer is graded, because it uses the others; attend could be chosen with :NAME"
    )
    assert note_on(function, whole, instance, block) == (
        "attend is graded, a function before modules; MultiHeadAttention could be chosen with :NAME"
    )
    assert note_on(replace(whole, uses=frozenset({"AttentionHead"})), head) == (
        "MultiHeadAttention is graded, because it uses the others; AttentionHead could be chosen with :NAME"
    )


def test_of_several_classes_the_one_with_heads_is_meant() -> None:
    one = module("x", constructor="d_model", name="SelfAttention")
    several = module("x", constructor="d_model, num_heads", name="MultiHeadAttention")
    assert choose_candidate([one, several], None, "x") is several
    ((name, why),) = choice_note(several, [one, several])
    assert name == "chosen"
    assert "takes a number of heads" in why
    assert "SelfAttention" in why


def test_of_several_classes_one_hides_the_future_as_the_model() -> None:
    plain = module("x", name="SelfAttention")
    causal = replace(module("x", name="CausalAttention"), uses=frozenset({"triu"}))
    head = replace(module("x", name="OneHead"), uses=frozenset({"tril"}))
    looped = replace(module("x", name="LoopedAttention"), uses=frozenset({"OneHead"}))
    masked = module("x, mask=None", name="MaskedAttention")
    assert choose_candidate([causal, plain], None, "x", is_causal=True) is causal
    assert choose_candidate([causal, plain], None, "x", is_causal=False) is plain
    assert choose_candidate([head, looped, plain], None, "x", is_causal=True) is looped
    assert choose_candidate([masked, plain], None, "x", is_causal=True) is masked
    for several, is_causal in (([causal, plain], None), ([causal, masked], True), ([plain, masked], False)):
        with pytest.raises(UsageError, match="2 modules"):
            choose_candidate(several, None, "x", is_causal)
    assert "hides the future" in choice_note(causal, [causal, plain])[0][1]


def test_a_part_of_an_attention_that_cannot_be_called_is_not_graded_in_its_place() -> None:
    rotation = module("x", constructor="theta, head_dim", name="Rotation")
    attention = replace(module("x, w_a, w_b", name="RotaryAttention"), uses=frozenset({"Rotation"}))
    assert choose_candidate([rotation], None, "x") is rotation
    with pytest.raises(SubmissionError, match="nothing to pass for 'w_a' and 'w_b'"):
        choose_candidate([rotation, attention], None, "x")
    function = candidate("q, k, v", name="attend")
    assert choose_candidate([function, replace(attention, uses=frozenset({"attend"}))], None, "x") is function


def test_a_whole_model_is_named_as_one() -> None:
    model = replace(module("x", name="GPT"), uses=frozenset({"Embedding"}))
    with pytest.raises(SubmissionError, match="GPT is a whole model"):
        choose_candidate([model], None, "x")
    assert choose_candidate([model], "GPT", "x") is model


def test_a_text_for_the_keys_is_a_second_choice() -> None:
    one, several = module("x", name="SelfAttention"), module("x, context", name="CrossAttention")
    assert choose_candidate([one, several], None, "x") is one
    assert choose_candidate([module("x, y", name="Distance"), several], None, "x") is several


def test_a_layer_with_a_norm_around_an_attention_is_not_what_is_meant() -> None:
    inside = replace(module("x, mask=None", name="SelfAttention"), uses=frozenset({"Linear"}))
    output = replace(module("states, residual", name="Output"), uses=frozenset({"Linear", "LayerNorm"}))
    for used in ({"SelfAttention", "Output"}, {"SelfAttention", "RMSNorm"}):
        block = replace(module("x, mask=None", name="AttentionBlock"), uses=frozenset(used))
        assert choose_candidate([inside, output, block], None, "x") is inside
    whole = replace(module("x, mask=None", name="MultiHeadAttention"), uses=frozenset({"Linear", "SelfAttention"}))
    assert choose_candidate([inside, output, whole], None, "x") is whole
    # what attends inside it has no projections of its own
    bare = replace(inside, uses=frozenset({"softmax"}))
    normed = replace(whole, uses=frozenset({"SelfAttention", "LayerNorm", "Linear"}))
    assert choose_candidate([bare, normed], None, "x") is normed


@pytest.mark.parametrize(
    "arguments",
    ["dim, end, theta", "x, n_heads, d_head", "tokens, size, step", "q_len, k_len, device", "*a", "*args, **kwargs"],
)
def test_a_helper_is_no_attention_beside_a_class(arguments: str) -> None:
    attention = module("x", constructor="d_model, num_heads", name="CausalSelfAttention")
    assert choose_candidate([candidate(arguments, name="helper"), attention], None, "x") is attention


def test_a_function_of_weights_without_hidden_states_stands_behind_a_class() -> None:
    attention = module("x", constructor="d_model, num_heads", name="MultiHeadAttention")
    older = candidate("batch, w_q, w_k, w_v, w_o", name="multi_head_attention")
    assert choose_candidate([attention, older], None, "x") is attention
    named = candidate("x, w_q, w_k, w_v, w_o", name="multi_head_attention")
    assert choose_candidate([attention, named], None, "x") is named


def test_a_function_without_names_is_still_an_attention() -> None:
    plain, model = candidate("a, b, c", name="mine"), module("x", name="Model")
    assert choose_candidate([model, plain], None, "x") is plain


def test_a_step_of_a_module_that_masks_by_itself_is_not_what_is_meant() -> None:
    step, plain = candidate("q, k, v, chunk_size", name="in_chunks"), candidate("q, k, v, mask=None", name="in_chunks")
    whole = replace(module("x", constructor="d_model, num_heads", name="Attention"), uses=frozenset({"in_chunks"}))
    assert choose_candidate([step, whole], None, "x") is whole
    switched = candidate("q, k, v, is_causal=True", name="in_chunks")
    assert choose_candidate([switched, whole], None, "x") is whole
    assert choose_candidate([plain, whole], None, "x") is plain
    assert choose_candidate([step, replace(whole, uses=frozenset())], None, "x") is step
