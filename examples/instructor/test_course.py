"""An instructor's own tests beside the grader's.

    pytest --attn-student=examples.reference -c examples/instructor/pytest.ini examples/instructor

The fixtures come from the plugin. A marked test is a check with points of its own (category `custom`, worth what the
ini file's `attn_points` gives it); an unmarked one just has to pass.
"""

import pytest
import torch


def test_first_token_sees_only_itself(attn_student):
    query, key, value = torch.randn(3, 1, 2, 5, 8)
    keep_mask = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    result = attn_student(query, key, value, keep_mask)
    attn_output = result[0] if isinstance(result, tuple) else result
    assert torch.allclose(attn_output[:, :, 0], value[:, :, 0], atol=1e-5)


@pytest.mark.attn_check(id="course.prediction", title="the model still ends the sentence", category="custom")
def test_prediction(attn_comparison, attn_evidence):
    wanted, got = attn_comparison.predictions.reference[0], attn_comparison.predictions.student[0]
    attn_evidence.record(wanted=wanted.token, got=got.token)
    attn_evidence.check(
        wanted.token == got.token,
        expected=f"the next token {wanted.token!r}",
        actual=f"{got.token!r}",
        hint="everything that the other checks say",
    )


def test_prompt_is_six_words(attn_prompt, attn_model, attn_tokenizer):
    assert len(attn_prompt.tokens) == 6
    assert attn_tokenizer.decode(attn_prompt.input_ids[0]) == attn_prompt.text
    assert attn_prompt.input_ids.max() < attn_model.config.vocab_size
