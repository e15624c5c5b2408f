"""The forms that an attention function may have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.model_utils import (
    replace_attention_mechanism,
)
from tests.support.small_models import (
    AttentionModule,
    close,
    output_only,
    tokens,
)


def named_mask(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, attn_mask: Any = None) -> Any:
    assert dropout_p == 0.0
    return output_only(query, key, value, attn_mask)


def keyword_mask(query: Tensor, key: Tensor, value: Tensor, *, mask: Any) -> Any:
    return output_only(query, key, value, mask)


def any_arguments(*arguments: Any) -> Any:
    return output_only(*arguments)


def masks_by_itself(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Any:
    assert dropout == 0.0
    return output_only(query, key, value, causal_keep_mask(query.shape[2], key.shape[2]))


class AttentionObject:
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, m: Tensor) -> Any:
        return [output_only(q, k, v, m), None]


FORMS = [
    F.scaled_dot_product_attention,
    named_mask,
    keyword_mask,
    any_arguments,
    masks_by_itself,
    AttentionObject(),
    AttentionModule(),
]


@pytest.mark.parametrize("attention", FORMS, ids=lambda form: getattr(form, "__name__", type(form).__name__))
def test_forms_of_an_attention_function(gpt2: Any, attention: Any) -> None:
    patched = replace_attention_mechanism(gpt2, attention, 1)
    with torch.no_grad():
        found, wanted = patched(tokens(), output_attentions=True), gpt2(tokens(), output_attentions=True)
    close(found.logits, wanted.logits)
    close(torch.stack(found.attentions), torch.stack(wanted.attentions))


def test_weights_are_recovered_only_when_asked_for_and_in_chunks(gpt2: Any) -> None:
    value_widths = []

    def counting(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
        value_widths.append(value.shape[-1])
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, counting)
    input_ids = tokens(length=20)  # head_dim is 8: three chunks
    with torch.no_grad():
        patched(input_ids)
        assert value_widths == [8]
        close(
            torch.stack(patched(input_ids, output_attentions=True).attentions),
            torch.stack(gpt2(input_ids, output_attentions=True).attentions),
        )
        assert value_widths == [8] * 5
        patched(input_ids)
        assert value_widths == [8] * 6
        patched.config.output_attentions = True
        patched(input_ids)
        assert value_widths == [8] * 10


def test_a_module_is_part_of_the_model_and_trains_with_it(gpt2: Any) -> None:
    attention = AttentionModule()
    patched = replace_attention_mechanism(gpt2, attention)
    assert any(parameter is attention.gain for parameter in patched.parameters())
    patched(tokens()).logits.sum().backward()
    assert attention.gain.grad is not None
    gpt2.zero_grad()
    patched.train()
    assert attention.training
    patched.eval()
    assert not attention.training
    again = replace_attention_mechanism(patched, output_only, 2)
    assert any(module is attention for module in again.modules())  # shared, so that what it remembers can be read
    assert any(parameter is attention.gain for parameter in again.parameters())
