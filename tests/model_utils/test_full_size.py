"""The reference in every layer at the size of distilgpt2."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
)

from pytest_attn_grader.model_utils import (
    patched_model,
)
from tests.support.small_models import (
    close,
    output_only,
)


@pytest.mark.slow
def test_at_distilgpt2_size() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=6), attn_implementation="eager").eval()
    patched = patched_model(model, dict.fromkeys(range(6), output_only))
    assert {p.data_ptr() for p in patched.parameters()} == {p.data_ptr() for p in model.parameters()}
    input_ids = torch.randint(0, 50257, (1, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = model(input_ids, output_attentions=True), patched(input_ids, output_attentions=True)
    close(found.logits, wanted.logits, atol=1e-5)
    close(torch.stack(found.attentions), torch.stack(wanted.attentions))
    arguments = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(patched.generate(input_ids, **arguments), model.generate(input_ids, **arguments))
