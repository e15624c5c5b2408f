"""Which tokenizer belongs to a model."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import (
    AutoModelForCausalLM,
)

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    attach_tokenizer,
    get_tokenizer,
    load_mini_transformer,
    replace_attention_mechanism,
    run_inference_comparison,
)
from tests.support.small_models import (
    PROMPT,
    WordTokenizer,
    output_only,
)


def test_a_copy_inherits_the_tokenizer_and_either_model_may_know_it(gpt2: Any) -> None:
    model, tokenizer = copy.deepcopy(gpt2), WordTokenizer()
    model.config._name_or_path = ""
    with pytest.raises(PatchingError, match=r"no tokenizer is known for this GPT2LMHeadModel.*attach_tokenizer"):
        run_inference_comparison(model, model, PROMPT)
    student_model = replace_attention_mechanism(model, output_only)
    attach_tokenizer(student_model, tokenizer)
    assert run_inference_comparison(model, student_model, PROMPT)["input_ids"].shape == (1, 6)
    attach_tokenizer(model, tokenizer)
    assert get_tokenizer(replace_attention_mechanism(model, output_only)) is tokenizer


def test_the_tokenizer_is_taken_from_where_the_model_is_from(gpt2: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "cat": 1, "sat": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(tmp_path)
    gpt2.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    figures = run_inference_comparison(model, replace_attention_mechanism(model, output_only), "cat sat cat")
    assert figures["input_ids"].tolist() == [[1, 2, 1]]


def test_a_tokenizer_that_is_not_where_the_model_is_from(gpt2: Any, tmp_path: Path) -> None:
    model = copy.deepcopy(gpt2)
    model.config._name_or_path = str(tmp_path / "nothing")
    with pytest.raises(PatchingError, match=r"no tokenizer can be loaded from '.*nothing'.*attach_tokenizer"):
        get_tokenizer(model)


def test_load_mini_transformer_takes_the_automatic_choice_and_its_tokenizer(
    gpt2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytest_attn_grader.models.load as load_module

    tokenizer, asked = WordTokenizer(), []

    def load_model(request: Any) -> Any:
        asked.append(request)
        return SimpleNamespace(model=copy.deepcopy(gpt2), tokenizer=tokenizer)

    monkeypatch.setattr(load_module, "load_model", load_model)
    model, found = load_mini_transformer()
    assert asked == ["auto"]
    assert found is tokenizer
    assert get_tokenizer(model) is tokenizer
