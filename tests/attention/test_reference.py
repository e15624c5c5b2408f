from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pytest_attn_grader.attention.reference import as_additive_mask, as_keep_mask, causal_keep_mask, reference_attention

SHAPE = (3, 2, 5, 4)  # batch, num_heads, seq_len, head_dim


def random_inputs(query_len=5, key_len=5, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = (query_len, key_len, key_len)
    return [torch.randn((3, 2, length, 4), generator=generator, dtype=torch.float64).to(dtype) for length in lengths]


def loop_attention(query, key, value, keep_mask, scaling):
    """The formula once more, number by number, in plain Python."""
    batch_size, num_heads, query_len, head_dim = query.shape
    key_len = key.shape[2]
    output = torch.zeros(batch_size, num_heads, query_len, value.shape[-1], dtype=torch.float64)
    weights = torch.zeros(batch_size, num_heads, query_len, key_len, dtype=torch.float64)
    for b in range(batch_size):
        for h in range(num_heads):
            for i in range(query_len):
                kept = [j for j in range(key_len) if keep_mask[b, h, i, j]]
                scores = [
                    scaling * sum(float(query[b, h, i, d] * key[b, h, j, d]) for d in range(head_dim)) for j in kept
                ]
                largest = max(scores, default=0.0)
                total = sum(math.exp(score - largest) for score in scores)
                for j, score in zip(kept, scores, strict=True):
                    weights[b, h, i, j] = math.exp(score - largest) / total
                    output[b, h, i] += weights[b, h, i, j] * value[b, h, j]
    return output, weights


@pytest.mark.parametrize(("query_len", "key_len"), [(5, 5), (1, 7), (3, 7), (1, 1)])
@pytest.mark.parametrize("scaling", [None, 1.0, 0.3])
def test_equals_a_loop_over_numbers(query_len, key_len, scaling):
    query, key, value = random_inputs(query_len, key_len, torch.float64)
    keep_mask = (torch.rand(3, 2, query_len, key_len, generator=torch.Generator().manual_seed(1)) > 0.3).contiguous()
    keep_mask[0, 0, 0] = False  # one row with no key left
    output, weights = reference_attention(query, key, value, keep_mask, scaling=scaling)
    expected = loop_attention(query, key, value, keep_mask, 0.5 if scaling is None else scaling)
    torch.testing.assert_close((output, weights), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_torch(dtype, masked):
    query, key, value = random_inputs(dtype=dtype)
    keep_mask = causal_keep_mask(5) if masked else None
    output, _ = reference_attention(query, key, value, keep_mask)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=keep_mask)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_equals_the_eager_attention_of_transformers():
    from transformers.models.llama.modeling_llama import eager_attention_forward

    module = torch.nn.Module()
    module.num_key_value_groups = 1
    module.eval()
    query, key, value = random_inputs()
    keep_mask = causal_keep_mask(5)[None, None]
    additive_mask = as_additive_mask(keep_mask)
    expected_output, expected_weights = eager_attention_forward(module, query, key, value, additive_mask, scaling=0.5)
    output, weights = reference_attention(query, key, value, keep_mask)
    torch.testing.assert_close(output, expected_output.transpose(1, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(weights, expected_weights, atol=1e-6, rtol=0)


def test_weights_are_distributions_over_the_kept_keys():
    query, key, value = random_inputs()
    keep_mask = causal_keep_mask(5)
    _, weights = reference_attention(query, key, value, keep_mask)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 5))
    assert (weights[..., ~keep_mask] == 0).all()


def test_large_scores_do_not_overflow():
    query, key, value = random_inputs()
    output, weights = reference_attention(query * 1e4, key * 1e4, value, causal_keep_mask(5))
    assert output.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_stays_finite_and_close(dtype):
    query, key, value = random_inputs(dtype=dtype)
    output, _ = reference_attention(query, key, value, causal_keep_mask(5))
    expected, _ = reference_attention(query.double(), key.double(), value.double(), causal_keep_mask(5))
    assert output.dtype == dtype
    torch.testing.assert_close(output.double(), expected, atol=0.05, rtol=0)


def test_a_row_with_no_key_left_is_zero_and_so_are_its_gradients():
    query, key, value = (tensor.requires_grad_() for tensor in random_inputs())
    keep_mask = causal_keep_mask(5).clone()
    keep_mask[2] = False
    output, weights = reference_attention(query, key, value, keep_mask)
    assert (weights[:, :, 2] == 0).all()
    assert (output[:, :, 2] == 0).all()
    output.sum().backward()
    assert (query.grad[:, :, 2] == 0).all()
    assert all(tensor.grad.isfinite().all() for tensor in (query, key, value))


def test_gradients_are_those_of_the_formula():
    inputs = [tensor.requires_grad_() for tensor in random_inputs(dtype=torch.float64)]
    keep_mask = causal_keep_mask(5)
    assert torch.autograd.gradcheck(lambda *tensors: reference_attention(*tensors, keep_mask), inputs)


def test_dropout_only_in_training():
    query, key, value = random_inputs()
    plain, _ = reference_attention(query, key, value)
    evaluated, _ = reference_attention(query, key, value, dropout_p=0.5)
    torch.testing.assert_close(evaluated, plain, atol=0, rtol=0)
    torch.manual_seed(0)
    _, dropped = reference_attention(query, key, value, dropout_p=0.5, training=True)
    assert 0 < (dropped == 0).float().mean() < 1


def test_inputs_are_left_as_they_were():
    inputs = random_inputs()
    before = [tensor.clone() for tensor in inputs]
    reference_attention(*inputs, causal_keep_mask(5))
    assert all(torch.equal(*pair) for pair in zip(inputs, before, strict=True))


def test_a_mask_that_is_not_boolean_is_refused():
    query, key, value = random_inputs()
    with pytest.raises(TypeError, match=r"keep_mask must be boolean .*got torch.float32.*as_keep_mask"):
        reference_attention(query, key, value, torch.zeros(5, 5))
    with pytest.raises(TypeError, match="keep_mask must be boolean"):
        as_additive_mask(torch.zeros(5, 5))


@pytest.mark.parametrize(("query_len", "key_len", "window"), [(4, 4, None), (1, 4, None), (2, 5, None), (4, 6, 2)])
def test_causal_mask_is_aligned_at_the_bottom_right(query_len, key_len, window):
    keep_mask = causal_keep_mask(query_len, key_len, sliding_window=window)
    for i in range(query_len):
        position = key_len - query_len + i
        for j in range(key_len):
            expected = j <= position and (window is None or position - j < window)
            assert keep_mask[i, j].item() == expected


def test_a_decoding_step_sees_what_the_last_row_of_the_prompt_sees():
    query, key, value = random_inputs()
    whole, _ = reference_attention(query, key, value, causal_keep_mask(5))
    step, _ = reference_attention(query[:, :, -1:], key, value, causal_keep_mask(1, 5))
    torch.testing.assert_close(step, whole[:, :, -1:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_masks_survive_the_way_there_and_back(dtype):
    keep_mask = causal_keep_mask(4, 6)
    additive_mask = as_additive_mask(keep_mask, dtype)
    assert additive_mask.dtype == dtype
    assert additive_mask.isfinite().all()
    assert torch.equal(as_keep_mask(additive_mask), keep_mask)
    assert as_keep_mask(keep_mask) is keep_mask


@pytest.mark.parametrize("blocked", [-math.inf, -1e9, -1e4, torch.finfo(torch.float32).min])
def test_every_usual_way_to_block_is_understood(blocked):
    assert as_keep_mask(torch.tensor([0.0, blocked])).tolist() == [True, False]


@pytest.mark.parametrize("value", [-0.5, 1.0, math.nan, math.inf])
def test_a_bias_is_no_mask(value):
    with pytest.raises(ValueError, match=r"neither 0 \(may attend\) nor very negative"):
        as_keep_mask(torch.tensor([0.0, value]))
