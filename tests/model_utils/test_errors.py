"""What is refused, and what the message says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
)

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    attach_tokenizer,
    extract_attention_layer,
    extract_attention_weights,
    patched_model,
    replace_attention_mechanism,
    run_inference_comparison,
)
from pytest_attn_grader.models.patching.dispatch import INTERFACE_NAME
from tests.support.small_models import (
    CONFIGS,
    PROMPT,
    AttentionModule,
    WordTokenizer,
    output_only,
    plain_reference,
    tokens,
)


@pytest.mark.parametrize("layer_idx", [3, -4, 99])
def test_a_layer_out_of_range_is_told_the_range(gpt2: Any, layer_idx: Any) -> None:
    text = rf"layer_idx={layer_idx} is out of range: this model has 3 layers, 0 to 2 \(or -3 to -1, from the end\)"
    for ask in (
        lambda: extract_attention_layer(gpt2, layer_idx),
        lambda: replace_attention_mechanism(gpt2, plain_reference, layer_idx),
        lambda: extract_attention_weights(gpt2, tokens(), layer_idx),
    ):
        with pytest.raises(PatchingError, match=text):
            ask()


@pytest.mark.parametrize("layer_idx", [True, 1.0, "0", None])
def test_a_layer_that_is_no_number(gpt2: Any, layer_idx: Any) -> None:
    with pytest.raises(PatchingError, match=f"layer_idx must be an integer, got {layer_idx!r}"):
        extract_attention_layer(gpt2, layer_idx)


def test_the_same_layer_twice(gpt2: Any) -> None:
    with pytest.raises(PatchingError, match=r"two of the layers \[-3, 0\] are the same one of 3 layers"):
        patched_model(gpt2, {0: plain_reference, -3: plain_reference})


def transposed(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    return output_only(query, key, value, keep_mask).transpose(1, 2)


def double_precision(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    return output_only(query, key, value, keep_mask).double()


def numpy_output(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
    return output_only(query, key, value, keep_mask).numpy()


def three_results(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, ...]:
    return query, key, value


def merged_weights(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    output, weights = plain_reference(query, key, value, keep_mask)
    return output, weights.mean(dim=1)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (
            transposed,
            r"transposed returned attn_output of shape \(3, 7, 4, 8\); "
            r"wanted \(3, 4, 7, 8\) = \(batch, num_heads, query_len, head_dim\)",
        ),
        (double_precision, r"returned attn_output in torch.float64 on cpu; wanted torch.float32 on cpu.*\.to\(query\)"),
        (numpy_output, r"returned attn_output of type ndarray; wanted a torch.Tensor of shape \(3, 4, 7, 8\)"),
        (three_results, r"returned a tuple of 3 items; wanted attn_output or \(attn_output, attn_weights\)"),
        (
            merged_weights,
            r"returned attn_weights of shape \(3, 7, 7\); "
            r"wanted \(3, 4, 7, 7\) = \(batch, num_heads, query_len, key_len\)",
        ),
        (lambda query, key, value, keep_mask: None, r"returned attn_output of type NoneType"),
    ],
)
def test_a_wrong_result_is_told_what_it_is_and_what_was_wanted(gpt2: Any, attention: Any, message: str) -> None:
    patched = replace_attention_mechanism(gpt2, attention)
    with torch.no_grad(), pytest.raises(PatchingError, match=message):
        patched(tokens())


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (
            lambda x: x,
            r"\(x\) cannot be called as an attention function. Wanted: attention\(query, key, value, keep_mask\)",
        ),
        (
            lambda module, query, key, value, attention_mask, scaling: query,
            r"cannot be called as an attention function",
        ),
        (AttentionModule, "AttentionModule is a class: construct it first"),
        ("my_attention", "student_attention is of type str, which cannot be called"),
        (nn.MultiheadAttention(32, 4), "full width, not split into heads: wrap it"),
    ],
)
def test_what_cannot_be_an_attention_is_refused_at_once(gpt2: Any, attention: Any, message: str) -> None:
    with pytest.raises(PatchingError, match=message):
        replace_attention_mechanism(gpt2, attention)


def test_a_block_with_a_wrong_result(gpt2: Any) -> None:
    class Halved(nn.Module):
        def forward(self, hidden_states: Tensor) -> Any:
            return hidden_states[..., :16]

    patched = replace_attention_mechanism(gpt2, Halved())
    message = (
        r"Halved returned attn_output of shape \(3, 7, 16\); wanted \(3, 7, 32\) = \(batch, seq_len, hidden_size\)"
    )
    with pytest.raises(PatchingError, match=message):
        patched(tokens())


def test_a_mask_that_is_a_bias_is_refused(gpt2: Any) -> None:
    patched = replace_attention_mechanism(gpt2, plain_reference)
    bias = torch.linspace(-1, 0, 49).view(1, 1, 7, 7).repeat(3, 1, 1, 1)
    with pytest.raises(PatchingError, match=r"mask cannot be handed to an attention function: .* neither 0"):
        patched(tokens(), attention_mask=bias)


def test_naming_the_dispatcher_without_attaching_an_attention(gpt2: Any) -> None:
    patched = replace_attention_mechanism(gpt2, plain_reference)
    extract_attention_layer(patched, 1).config._attn_implementation_internal = INTERFACE_NAME
    with pytest.raises(PatchingError, match="no attention was attached to it; use replace_attention_mechanism"):
        patched(tokens())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt '' has no tokens; give it at least one word"),
        ("a " * 33, "the prompt has 33 tokens, but the model's context is 32; shorten it"),
        (7, "prompt must be a text, got int"),
    ],
)
def test_prompts_that_cannot_be_compared(told: Any, prompt: Any, message: str) -> None:
    with pytest.raises(PatchingError, match=message):
        run_inference_comparison(told, told, prompt)


def test_models_that_do_not_fit_each_other(told: Any, models: dict[str, Any]) -> None:
    other = copy.deepcopy(CONFIGS["gpt2"])
    other.n_layer = 2
    with pytest.raises(
        PatchingError, match=r"do not fit each other: attentions of shape \(3, 4, 6, 6\) and \(2, 4, 6, 6\)"
    ):
        run_inference_comparison(told, AutoModelForCausalLM.from_config(other).eval(), PROMPT)
    bare = AutoModel.from_config(copy.deepcopy(CONFIGS["gpt2"]))
    attach_tokenizer(bare, WordTokenizer())
    with pytest.raises(PatchingError, match=r"GPT2Model has no language modelling head.*AutoModelForCausalLM"):
        run_inference_comparison(bare, bare, PROMPT)


@pytest.mark.parametrize("input_ids", [torch.tensor([1, 2]), torch.zeros(1, 0, dtype=torch.long)])
def test_input_ids_that_are_no_batch(gpt2: Any, input_ids: torch.Tensor) -> None:
    with pytest.raises(PatchingError, match=r"input_ids must be \(batch, seq_len\).*input_ids\[None\]"):
        extract_attention_weights(gpt2, input_ids)
