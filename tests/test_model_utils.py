"""The five public functions, on small random checkpoints of every family, against the untouched model itself."""

from __future__ import annotations

import copy
import gc
import inspect
import threading
import weakref
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BloomConfig,
    DistilBertConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

from pytest_attn_grader.attention.reference import causal_keep_mask, reference_attention
from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    attach_tokenizer,
    extract_attention_layer,
    extract_attention_weights,
    get_tokenizer,
    load_mini_transformer,
    patched_model,
    replace_attention_mechanism,
    run_inference_comparison,
)
from pytest_attn_grader.models.patching.dispatch import INTERFACE_NAME

NUM_LAYERS, NUM_HEADS, VOCAB_SIZE = 3, 4, 61
# Large random weights: with the usual 0.02 all attention is nearly uniform, and a wrong one would pass.
SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": NUM_HEADS,
    "max_position_embeddings": 32,
    "initializer_range": 0.15,
}
GPT2_SIZES = {
    "vocab_size": VOCAB_SIZE,
    "n_embd": 32,
    "n_layer": NUM_LAYERS,
    "n_head": NUM_HEADS,
    "n_positions": 32,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "gpt2": GPT2Config(**GPT2_SIZES),
    "gpt2-scaled-by-layer": GPT2Config(**GPT2_SIZES, scale_attn_by_inverse_layer_idx=True),
    "gpt2-unscaled": GPT2Config(**GPT2_SIZES, scale_attn_weights=False),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=1),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "bert": BertConfig(**SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=VOCAB_SIZE,
        dim=32,
        hidden_dim=48,
        n_layers=NUM_LAYERS,
        n_heads=NUM_HEADS,
        max_position_embeddings=32,
        initializer_range=0.15,
    ),
}
CAUSAL = [name for name in CONFIGS if "bert" not in name]
LAYERS = {"first": [0], "last": [NUM_LAYERS - 1], "all": list(range(NUM_LAYERS))}
PADDINGS = {"none": [0, 0, 0], "right": [0, -2, -4], "left": [0, 2, 4], "both": [3, 0, -3]}


def build(name, implementation="eager"):
    torch.manual_seed(0)
    auto = AutoModelForMaskedLM if "bert" in name else AutoModelForCausalLM
    # a copy, because a model writes its implementation into the configuration it is given
    return auto.from_config(copy.deepcopy(CONFIGS[name]), attn_implementation=implementation).eval()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tensors this small lose more time to threads than they gain, five times as much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models():
    """One model of each family; tests leave it as they found it."""
    return {name: build(name) for name in CONFIGS}


@pytest.fixture
def gpt2(models):
    return models["gpt2"]


def tokens(batch_size=3, length=7, seed=1):
    return torch.randint(3, VOCAB_SIZE, (batch_size, length), generator=torch.Generator().manual_seed(seed))


def padding_mask(padding, length=7):
    mask = torch.ones(3, length, dtype=torch.long)
    for row, count in zip(mask, PADDINGS[padding], strict=True):
        if count > 0:
            row[:count] = 0
        elif count < 0:
            row[count:] = 0
    return mask


def plain_reference(query, key, value, keep_mask):
    return reference_attention(query, key, value, keep_mask)


def output_only(query, key, value, keep_mask):
    return reference_attention(query, key, value, keep_mask)[0]


def uniform_attention(query, key, value, keep_mask):
    """A wrong one: looks at every kept key alike."""
    weights = keep_mask.expand(*query.shape[:-1], key.shape[-2]).to(query.dtype)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ value, weights


def acausal_attention(query, key, value):
    return reference_attention(query, key, value)


# The contract's scaling is reached by scaling the query, which rounds; scores as large as these then differ by more.
TOLERANCES = {"gpt2-unscaled": 1e-5}


def close(found, wanted, atol=1e-6):
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (load_mini_transformer, {}),
        (extract_attention_layer, {"model": ..., "layer_idx": 0}),
        (replace_attention_mechanism, {"model": ..., "student_attention": ..., "layer_idx": 0}),
        (run_inference_comparison, {"model": ..., "student_model": ..., "prompt": ...}),
        (extract_attention_weights, {"model": ..., "input_ids": ..., "layer_idx": 0}),
    ],
)
def test_the_public_signatures_are_the_ones_that_were_asked_for(function, signature):
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: ... if p.default is p.empty else p.default for p in parameters} == signature
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    assert "return" in get_type_hints(function)
    assert "Raises:" in function.__doc__


# --- the reference in a layer is the original model ---


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("name", CONFIGS)
def test_reference_in_a_layer_changes_nothing(models, name, layers):
    model, input_ids = models[name], tokens()
    patched = patched_model(model, dict.fromkeys(LAYERS[layers], plain_reference))
    for padding in PADDINGS:
        mask = padding_mask(padding)
        arguments = {} if padding == "none" else {"attention_mask": mask}
        with torch.no_grad():
            wanted = model(input_ids, output_attentions=True, **arguments)
            found = patched(input_ids, output_attentions=True, **arguments)
        real = mask.bool()  # positions of padding may hold anything
        close(found.logits[real], wanted.logits[real], TOLERANCES.get(name, 1e-6))
        assert found.logits.isfinite().all()
        assert len(found.attentions) == NUM_LAYERS
        for found_weights, wanted_weights in zip(found.attentions, wanted.attentions, strict=True):
            close(found_weights.transpose(1, 2)[real], wanted_weights.transpose(1, 2)[real], TOLERANCES.get(name, 1e-6))


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_original(models, name):
    model, input_ids, mask = models[name], tokens(), padding_mask("right")
    patched = patched_model(model, dict.fromkeys(range(NUM_LAYERS), output_only))

    def gradients(of):
        of.zero_grad()
        logits = of(input_ids, attention_mask=mask).logits[mask.bool()]
        F.cross_entropy(logits, input_ids[mask.bool()]).backward()
        found = {key: parameter.grad.clone() for key, parameter in of.named_parameters() if parameter.grad is not None}
        of.zero_grad()
        return found

    wanted, found = gradients(model), gradients(patched)
    assert found.keys() == wanted.keys()
    assert any("emb" in key or "wte" in key for key in found)
    for key, gradient in wanted.items():
        close(found[key], gradient, atol=1e-5)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("name", CAUSAL)
def test_generate_is_that_of_the_original(models, name, use_cache):
    model = models[name]
    patched = patched_model(model, {0: output_only, NUM_LAYERS - 1: plain_reference})
    input_ids, mask = tokens(length=6), padding_mask("left", length=6)
    arguments = {"max_new_tokens": 5, "do_sample": False, "use_cache": use_cache, "pad_token_id": 0}
    arguments |= {"output_logits": True, "return_dict_in_generate": True, "eos_token_id": None}
    wanted = model.generate(input_ids, attention_mask=mask, **arguments)
    found = patched.generate(input_ids, attention_mask=mask, **arguments)
    assert torch.equal(found.sequences, wanted.sequences)
    close(torch.stack(found.logits), torch.stack(wanted.logits), atol=1e-5)


def test_a_wrong_attention_does_change_the_model(models):
    for model in models.values():
        patched = replace_attention_mechanism(model, uniform_attention, 1)
        with torch.no_grad():
            assert (model(tokens()).logits - patched(tokens()).logits).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(gpt2, dtype):
    model = copy.deepcopy(gpt2).to(dtype)
    patched = replace_attention_mechanism(model, plain_reference)
    with torch.no_grad():
        wanted, found = model(tokens()).logits, patched(tokens()).logits
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted, atol=1e-10 if dtype == torch.float64 else 0.1, rtol=0)


# --- what the attention is given ---


@pytest.mark.parametrize("name", CONFIGS)
def test_the_attention_gets_contiguous_heads_and_a_boolean_mask(models, name):
    calls = []

    def recording(query, key, value, keep_mask):
        calls.append((query, key, value, keep_mask))
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(models[name], recording, 1)
    with torch.no_grad():
        patched(tokens())
        patched(tokens(), attention_mask=padding_mask("right"))
    assert len(calls) == 2
    head_dim = 16 if name == "qwen3" else 8
    for query, key, value, keep_mask in calls:
        assert query.shape == key.shape == value.shape == (3, NUM_HEADS, 7, head_dim)
        assert all(tensor.is_contiguous() for tensor in (query, key, value, keep_mask))
        assert keep_mask.dtype == torch.bool
        assert keep_mask.shape == (3, 1, 7, 7)
    past = causal_keep_mask(7) if name in CAUSAL else torch.ones(7, 7, dtype=torch.bool)
    real_keys = padding_mask("right").bool()[:, None, None, :]
    assert torch.equal(calls[0][3], past.expand(3, 1, 7, 7))
    assert torch.equal(calls[1][3], past & real_keys)


def test_a_query_of_padding_may_look_at_itself_only(gpt2):
    seen = []

    def recording(query, key, value, keep_mask):
        seen.append(keep_mask)
        # -inf, as students write it: a row with no key would become NaN and spread
        scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~keep_mask, -torch.inf)
        return scores.softmax(dim=-1) @ value

    mask = padding_mask("left")
    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), recording))
    with torch.no_grad():
        found, wanted = patched(tokens(), attention_mask=mask), gpt2(tokens(), attention_mask=mask)
    close(found.logits[mask.bool()], wanted.logits[mask.bool()], atol=1e-5)
    assert torch.equal(seen[0][2, 0, :4, :4], torch.eye(4, dtype=torch.bool))
    assert not seen[0][2, 0, 4:, :4].any()


def test_with_a_cache_the_queries_are_the_last_positions(gpt2):
    shapes = []

    def recording(query, key, value, keep_mask):
        shapes.append((query.shape[2], key.shape[2], keep_mask.all().item()))
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, recording)
    patched.generate(tokens(), max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert shapes == [(7, 7, False), (1, 8, True), (1, 9, True)]


def test_a_chunk_after_a_cache_is_causal_inside_itself(gpt2):
    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), plain_reference))
    input_ids = tokens(length=8)
    with torch.no_grad():
        cache = patched(input_ids[:, :5], use_cache=True).past_key_values
        chunk = patched(input_ids[:, 5:], past_key_values=cache).logits
        close(chunk, gpt2(input_ids).logits[:, 5:], atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_mask_trap_causality_survives_when_the_whole_model_names_the_dispatcher(models, name):
    """transformers makes no mask for an attention without a mask function; then the future leaks, silently."""
    patched = patched_model(models[name], dict.fromkeys(range(NUM_LAYERS), plain_reference))
    patched.config._attn_implementation_internal = INTERFACE_NAME
    with torch.no_grad():
        close(patched(tokens()).logits, models[name](tokens()).logits, TOLERANCES.get(name, 1e-6))
        mask = padding_mask("left")
        real = mask.bool()
        found, wanted = patched(tokens(), attention_mask=mask), models[name](tokens(), attention_mask=mask)
        close(found.logits[real], wanted.logits[real], TOLERANCES.get(name, 1e-6))


def test_the_mask_trap_is_real_a_mask_is_missing_without_the_registration(gpt2, monkeypatch):
    from transformers.masking_utils import AttentionMaskInterface

    received = []

    def recording(query, key, value, keep_mask):
        received.append(keep_mask)
        return output_only(query, key, value, keep_mask)

    patched = patched_model(gpt2, dict.fromkeys(range(NUM_LAYERS), recording))
    patched.config._attn_implementation_internal = INTERFACE_NAME
    monkeypatch.delitem(AttentionMaskInterface._global_mapping, INTERFACE_NAME)
    with torch.no_grad():
        patched(tokens(), attention_mask=padding_mask("left"))
    # the padding is lost; that the future is not is the dispatcher's own doing, which knows the layer to be causal
    assert torch.equal(received[0], causal_keep_mask(7).expand(3, 1, 7, 7))


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_has_no_influence(models, name):
    patched = patched_model(models[name], dict.fromkeys(range(NUM_LAYERS), output_only))
    changed = tokens()
    changed[:, 4:] = 3
    with torch.no_grad():
        close(patched(changed).logits[:, :4], patched(tokens()).logits[:, :4], atol=1e-5)
        leaking = replace_attention_mechanism(models[name], acausal_attention)
        assert (leaking(changed).logits[:, :4] - leaking(tokens()).logits[:, :4]).abs().max() > 1e-3


# --- forms of an attention function ---


def named_mask(query, key, value, dropout_p=0.0, attn_mask=None):
    assert dropout_p == 0.0
    return output_only(query, key, value, attn_mask)


def keyword_mask(query, key, value, *, mask):
    return output_only(query, key, value, mask)


def any_arguments(*arguments):
    return output_only(*arguments)


def masks_by_itself(query, key, value, dropout=0.0):
    assert dropout == 0.0
    return output_only(query, key, value, causal_keep_mask(query.shape[2], key.shape[2]))


class AttentionObject:
    def __call__(self, q, k, v, m):
        return [output_only(q, k, v, m), None]


class AttentionModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, query, key, value, mask=None):
        return reference_attention(query * self.gain, key, value, mask)


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
def test_forms_of_an_attention_function(gpt2, attention):
    patched = replace_attention_mechanism(gpt2, attention, 1)
    with torch.no_grad():
        found, wanted = patched(tokens(), output_attentions=True), gpt2(tokens(), output_attentions=True)
    close(found.logits, wanted.logits)
    close(torch.stack(found.attentions), torch.stack(wanted.attentions))


def test_weights_are_recovered_only_when_asked_for_and_in_chunks(gpt2):
    value_widths = []

    def counting(query, key, value, keep_mask):
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


def test_a_module_is_part_of_the_model_and_trains_with_it(gpt2):
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


class WholeBlock(nn.Module):
    """GPT-2's attention once more, as a student writes it, loaded with a layer's weights."""

    def __init__(self, layer, *, returns_weights=False):
        super().__init__()
        self.c_attn, self.c_proj, self.returns_weights = (
            copy.deepcopy(layer.c_attn),
            copy.deepcopy(layer.c_proj),
            returns_weights,
        )

    def forward(self, x, mask=None):
        batch_size, seq_len, width = x.shape
        query, key, value = (
            part.view(batch_size, seq_len, NUM_HEADS, -1).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=-1)
        )
        output, weights = reference_attention(query, key, value, mask)
        output = self.c_proj(output.transpose(1, 2).flatten(2))
        return (output, weights) if self.returns_weights else output


@pytest.mark.parametrize("captured_before", [False, True])
@pytest.mark.parametrize("returns_weights", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3])  # two is where a bare tensor would be unpacked along the batch
def test_a_module_that_takes_hidden_states_replaces_the_block(batch_size, returns_weights, captured_before):
    model = build("gpt2")
    if captured_before:  # transformers installs its recording hooks at the first request
        model(tokens(), output_attentions=True)
    block = WholeBlock(extract_attention_layer(model, 1), returns_weights=returns_weights)
    patched = replace_attention_mechanism(model, block, 1)
    input_ids = tokens(batch_size)
    with torch.no_grad():
        wanted = model(input_ids, output_attentions=True)
        close(patched(input_ids).logits, wanted.logits)
        found = patched(input_ids, output_attentions=True)
    close(found.logits, wanted.logits)
    assert len(found.attentions) == NUM_LAYERS
    for layer_idx in range(NUM_LAYERS):
        if layer_idx == 1 and not returns_weights:
            assert found.attentions[1].shape == wanted.attentions[1].shape
            assert found.attentions[1].isnan().all()
        else:
            close(found.attentions[layer_idx], wanted.attentions[layer_idx])
    assert model.config.use_cache
    assert not any("student" in key for key in model.state_dict())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_block_fits_every_family_and_generates_without_cache(models, name):
    class Zero(nn.Module):
        def forward(self, hidden_states):
            return torch.zeros_like(hidden_states)

    patched = replace_attention_mechanism(models[name], Zero(), 1)
    with torch.no_grad():
        found = patched(tokens(), attention_mask=padding_mask("left"), output_attentions=True)
        assert found.logits.shape == (3, 7, VOCAB_SIZE)
        assert len(found.attentions) == NUM_LAYERS
        if name not in CAUSAL:
            return
        generated = patched.generate(tokens(), max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
        assert torch.equal(generated[:, 7], patched(tokens()).logits[:, -1].argmax(dim=-1))
        with pytest.raises(PatchingError, match=r"layer 1 was replaced as a whole .*use_cache=False"):
            patched.generate(tokens(), max_new_tokens=3, use_cache=True, pad_token_id=0, eos_token_id=None)


# --- what is shared, what is untouched ---


@pytest.mark.parametrize("name", CONFIGS)
def test_the_original_is_untouched_and_every_tensor_shared(name):
    model = build(name, "sdpa")
    state = {key: value.clone() for key, value in model.state_dict().items()}
    classes = [type(module) for module in model.modules()]
    with torch.no_grad():
        before = model(tokens()).logits
        patched = patched_model(model, dict.fromkeys(range(NUM_LAYERS), uniform_attention))
        patched(tokens(), output_attentions=True)
        after = model(tokens()).logits
    assert torch.equal(before, after)
    assert model.config._attn_implementation == "sdpa"
    assert patched.config._attn_implementation == "eager"
    assert [type(module) for module in model.modules()] == classes
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    pointers = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    assert {tensor.data_ptr() for tensor in (*patched.parameters(), *patched.buffers())} == pointers


def test_a_patched_model_can_be_patched_again_and_replaced(gpt2):
    once = replace_attention_mechanism(gpt2, uniform_attention, 0)
    twice = replace_attention_mechanism(once, uniform_attention, 2)
    at_once = patched_model(gpt2, {0: uniform_attention, 2: uniform_attention})
    mended = patched_model(twice, {0: plain_reference, 2: AttentionModule()})
    with torch.no_grad():
        assert torch.equal(twice(tokens()).logits, at_once(tokens()).logits)
        assert not torch.equal(twice(tokens()).logits, once(tokens()).logits)
        close(mended(tokens()).logits, gpt2(tokens()).logits)


def test_a_block_gives_way_to_a_block_but_not_to_a_function(gpt2):
    block = WholeBlock(extract_attention_layer(gpt2, 0))
    patched = replace_attention_mechanism(gpt2, nn.Identity())  # identity takes hidden states
    mended = replace_attention_mechanism(patched, block)
    with torch.no_grad():
        close(mended(tokens()).logits, gpt2(tokens()).logits)
    with pytest.raises(PatchingError, match=r"layer 0 .* replaced as a whole by WholeBlock .* patch the original"):
        replace_attention_mechanism(mended, plain_reference)


def test_an_attention_that_cannot_be_copied_is_shared(gpt2):
    class Connection:
        def __deepcopy__(self, memo):
            raise AssertionError("a connection was copied")

        def __call__(self, query, key, value, keep_mask):
            return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, Connection())
    again = copy.deepcopy(replace_attention_mechanism(patched, Connection(), 1))
    with torch.no_grad():
        close(again(tokens()).logits, gpt2(tokens()).logits)


def test_patching_leaves_nothing_behind(gpt2):
    def living_tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    def patch_and_run():
        patched = replace_attention_mechanism(gpt2, output_only)
        with torch.no_grad():
            patched(tokens(), output_attentions=True)
        return weakref.ref(patched)

    patch_and_run()
    before = living_tensors()
    ghosts = [patch_and_run() for _ in range(50)]
    assert living_tensors() <= before
    assert all(ghost() is None for ghost in ghosts)


def test_training_mode_is_kept(gpt2):
    model = copy.deepcopy(gpt2).train()
    assert replace_attention_mechanism(model, plain_reference).training
    assert not replace_attention_mechanism(model.eval(), plain_reference).training


def test_an_exception_of_the_student_comes_through_and_leaves_the_model_usable(gpt2):
    state = SimpleNamespace(broken=True)

    def sometimes(query, key, value, keep_mask):
        if state.broken:
            raise ZeroDivisionError("mine")
        return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, sometimes)
    for arguments in ({}, {"output_attentions": True}):
        with pytest.raises(ZeroDivisionError, match="mine"):
            patched(tokens(), **arguments)
    state.broken = False
    copied = replace_attention_mechanism(patched, plain_reference, 1)
    with torch.no_grad():
        wanted = gpt2(tokens(), output_attentions=True)
        for mended in (patched, copied):
            close(mended(tokens()).logits, wanted.logits)
            close(torch.stack(mended(tokens(), output_attentions=True).attentions), torch.stack(wanted.attentions))


def test_two_patched_models_in_two_threads_do_not_mix(gpt2):
    patched = {
        True: replace_attention_mechanism(gpt2, output_only),
        False: replace_attention_mechanism(gpt2, uniform_attention),
    }
    with torch.no_grad():
        wanted = {asks: model(tokens(), output_attentions=asks) for asks, model in patched.items()}
    faults = []

    def run(asks):
        with torch.no_grad():
            for _ in range(20):
                found = patched[asks](tokens(), output_attentions=asks)
                if not torch.allclose(found.logits, wanted[asks].logits, atol=1e-6):
                    faults.append(asks)
                if asks and len(found.attentions) != NUM_LAYERS:
                    faults.append("attentions")

    threads = [threading.Thread(target=run, args=(asks,)) for asks in patched]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# --- extract ---


def test_the_extracted_layer_is_the_module_itself(models):
    gpt2, bert = models["gpt2"], models["bert"]
    assert extract_attention_layer(gpt2) is gpt2.transformer.h[0].attn
    assert extract_attention_layer(gpt2, -1) is gpt2.transformer.h[2].attn
    assert extract_attention_layer(bert, 1) is bert.bert.encoder.layer[1].attention.self
    bare = AutoModel.from_config(copy.deepcopy(CONFIGS["gpt2"]))
    assert extract_attention_layer(bare, 1) is bare.h[1].attn


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", CONFIGS)
def test_extracted_weights_are_eager_and_leave_the_model_as_it_was(models, name, implementation):
    model = build(name, implementation).train()
    extract_attention_layer(model, 1).eval()
    modes = [module.training for module in model.modules()]
    weights = extract_attention_weights(model, tokens(), 1)
    with torch.no_grad():
        wanted = models[name](tokens(), output_attentions=True).attentions[1]
    close(weights, wanted)
    assert not weights.requires_grad
    close(weights.sum(dim=-1), torch.ones(3, NUM_HEADS, 7), atol=1e-5)
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == implementation


def test_weights_can_be_extracted_where_the_attention_cannot_be_replaced():
    model = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=VOCAB_SIZE, hidden_size=32, n_layer=2, n_head=4))
    assert extract_attention_weights(model, tokens(), -1).shape == (3, 4, 7, 7)
    with pytest.raises(PatchingError, match="no layer of BloomForCausalLM"):
        replace_attention_mechanism(model, plain_reference)


# --- comparison ---


class WordTokenizer:
    """One token a word: enough of a tokenizer."""

    def __call__(self, text, return_tensors):
        return {"input_ids": torch.tensor([[3 + sum(map(ord, word)) % 50 for word in text.split()]]).view(1, -1)}


@pytest.fixture
def told(gpt2):
    attach_tokenizer(gpt2, WordTokenizer())
    return gpt2


PROMPT = "The cat sat on the mat"


def test_the_reference_compared_with_itself(told):
    figures = run_inference_comparison(told, replace_attention_mechanism(told, output_only), PROMPT)
    shapes = {
        "input_ids": (1, 6),
        "reference_attentions": (NUM_LAYERS, NUM_HEADS, 6, 6),
        "student_attentions": (NUM_LAYERS, NUM_HEADS, 6, 6),
        "reference_logits": (6, VOCAB_SIZE),
        "student_logits": (6, VOCAB_SIZE),
        "reference_next_token_probabilities": (VOCAB_SIZE,),
        "student_next_token_probabilities": (VOCAB_SIZE,),
        "cosine_similarity": (NUM_LAYERS, NUM_HEADS),
        "jensen_shannon_divergence": (NUM_LAYERS, NUM_HEADS),
        "earth_movers_distance": (NUM_LAYERS, NUM_HEADS),
        "student_row_sum_error": (NUM_LAYERS, NUM_HEADS),
        "next_token_kl_divergence": (),
        "max_logit_difference": (),
        "reference_seconds": (),
        "student_seconds": (),
    }
    assert {key: tuple(value.shape) for key, value in figures.items()} == shapes
    assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in figures.values())
    close(figures["student_logits"], figures["reference_logits"])
    close(figures["cosine_similarity"], torch.ones(NUM_LAYERS, NUM_HEADS, dtype=torch.float64))
    for name in (
        "jensen_shannon_divergence",
        "earth_movers_distance",
        "next_token_kl_divergence",
        "student_row_sum_error",
    ):
        assert figures[name].max() < 1e-6
        assert figures[name].dtype == torch.float64
    close(figures["student_next_token_probabilities"].sum(), torch.ones(()))
    with torch.no_grad():
        close(figures["reference_logits"], told(figures["input_ids"]).logits[0])
    for name in ("reference_seconds", "student_seconds"):
        assert figures[name].dtype == torch.float64
        assert 0 < figures[name] < 5


def test_a_wrong_attention_shows_where_it_is_and_what_it_does(told):
    figures = run_inference_comparison(told, replace_attention_mechanism(told, uniform_attention, 1), PROMPT)
    assert figures["jensen_shannon_divergence"][0].max() < 1e-9  # the layer before
    assert figures["jensen_shannon_divergence"][1].min() > 1e-3  # the layer itself
    assert figures["jensen_shannon_divergence"][2].max() > 1e-9  # what it does to the layer after
    assert figures["next_token_kl_divergence"] > 1e-6
    assert figures["max_logit_difference"] > 1e-3


def test_an_sdpa_model_is_compared_eagerly_and_left_alone(told):
    model = build("gpt2", "sdpa")
    attach_tokenizer(model, WordTokenizer())
    figures = run_inference_comparison(model, replace_attention_mechanism(model, plain_reference), PROMPT)
    assert figures["cosine_similarity"].min() > 1 - 1e-6
    assert model.config._attn_implementation == "sdpa"


def test_weights_that_are_none_give_nan_and_rows_that_do_not_sum_to_one_are_said_to_be_so(told):
    def nan_weights(query, key, value, keep_mask):
        output, weights = plain_reference(query, key, value, keep_mask)
        return output, weights * torch.nan

    def doubled(query, key, value, keep_mask):
        output, weights = plain_reference(query, key, value, keep_mask)
        return 2 * output, 2 * weights

    def nothing_but_nan(query, key, value, keep_mask):
        return query * torch.nan

    figures = run_inference_comparison(told, replace_attention_mechanism(told, nan_weights), PROMPT)
    assert figures["cosine_similarity"][0].isnan().all()
    assert figures["student_row_sum_error"][0].isnan().all()
    assert figures["cosine_similarity"][1:].min() > 1 - 1e-6

    figures = run_inference_comparison(told, replace_attention_mechanism(told, doubled), PROMPT)
    close(figures["student_row_sum_error"][0], torch.ones(NUM_HEADS, dtype=torch.float64))
    assert figures["jensen_shannon_divergence"][0].max() < 1e-6

    figures = run_inference_comparison(told, replace_attention_mechanism(told, nothing_but_nan), PROMPT)
    assert figures["next_token_kl_divergence"].isnan()


def test_masked_language_models_compare_as_well(models):
    attach_tokenizer(models["bert"], WordTokenizer())
    figures = run_inference_comparison(models["bert"], replace_attention_mechanism(models["bert"], output_only), PROMPT)
    assert figures["cosine_similarity"].min() > 1 - 1e-6


# --- tokenizers and loading ---


def test_a_copy_inherits_the_tokenizer_and_either_model_may_know_it(gpt2):
    model, tokenizer = copy.deepcopy(gpt2), WordTokenizer()
    model.config._name_or_path = ""
    with pytest.raises(PatchingError, match=r"no tokenizer is known for this GPT2LMHeadModel.*attach_tokenizer"):
        run_inference_comparison(model, model, PROMPT)
    student_model = replace_attention_mechanism(model, output_only)
    attach_tokenizer(student_model, tokenizer)
    assert run_inference_comparison(model, student_model, PROMPT)["input_ids"].shape == (1, 6)
    attach_tokenizer(model, tokenizer)
    assert get_tokenizer(replace_attention_mechanism(model, output_only)) is tokenizer


def test_the_tokenizer_is_taken_from_where_the_model_is_from(gpt2, tmp_path):
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


def test_a_tokenizer_that_is_not_where_the_model_is_from(gpt2, tmp_path):
    model = copy.deepcopy(gpt2)
    model.config._name_or_path = str(tmp_path / "nothing")
    with pytest.raises(PatchingError, match=r"no tokenizer can be loaded from '.*nothing'.*attach_tokenizer"):
        get_tokenizer(model)


def test_load_mini_transformer_takes_the_automatic_choice_and_its_tokenizer(gpt2, monkeypatch):
    import pytest_attn_grader.models as models_package

    tokenizer, asked = WordTokenizer(), []

    def load_model(request):
        asked.append(request)
        return SimpleNamespace(model=copy.deepcopy(gpt2), tokenizer=tokenizer)

    monkeypatch.setattr(models_package, "load_model", load_model)
    model, found = load_mini_transformer()
    assert asked == ["auto"]
    assert found is tokenizer
    assert get_tokenizer(model) is tokenizer


# --- what is refused, and what is said ---


@pytest.mark.parametrize("layer_idx", [3, -4, 99])
def test_a_layer_out_of_range_is_told_the_range(gpt2, layer_idx):
    text = rf"layer_idx={layer_idx} is out of range: this model has 3 layers, 0 to 2 \(or -3 to -1, from the end\)"
    for ask in (
        lambda: extract_attention_layer(gpt2, layer_idx),
        lambda: replace_attention_mechanism(gpt2, plain_reference, layer_idx),
        lambda: extract_attention_weights(gpt2, tokens(), layer_idx),
    ):
        with pytest.raises(PatchingError, match=text):
            ask()


@pytest.mark.parametrize("layer_idx", [True, 1.0, "0", None])
def test_a_layer_that_is_no_number(gpt2, layer_idx):
    with pytest.raises(PatchingError, match=f"layer_idx must be an integer, got {layer_idx!r}"):
        extract_attention_layer(gpt2, layer_idx)


def test_the_same_layer_twice(gpt2):
    with pytest.raises(PatchingError, match=r"two of the layers \[-3, 0\] are the same one of 3 layers"):
        patched_model(gpt2, {0: plain_reference, -3: plain_reference})


def transposed(query, key, value, keep_mask):
    return output_only(query, key, value, keep_mask).transpose(1, 2)


def double_precision(query, key, value, keep_mask):
    return output_only(query, key, value, keep_mask).double()


def numpy_output(query, key, value, keep_mask):
    return output_only(query, key, value, keep_mask).numpy()


def three_results(query, key, value, keep_mask):
    return query, key, value


def merged_weights(query, key, value, keep_mask):
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
def test_a_wrong_result_is_told_what_it_is_and_what_was_wanted(gpt2, attention, message):
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
def test_what_cannot_be_an_attention_is_refused_at_once(gpt2, attention, message):
    with pytest.raises(PatchingError, match=message):
        replace_attention_mechanism(gpt2, attention)


def test_a_block_with_a_wrong_result(gpt2):
    class Halved(nn.Module):
        def forward(self, hidden_states):
            return hidden_states[..., :16]

    patched = replace_attention_mechanism(gpt2, Halved())
    message = (
        r"Halved returned attn_output of shape \(3, 7, 16\); wanted \(3, 7, 32\) = \(batch, seq_len, hidden_size\)"
    )
    with pytest.raises(PatchingError, match=message):
        patched(tokens())


def test_a_mask_that_is_a_bias_is_refused(gpt2):
    patched = replace_attention_mechanism(gpt2, plain_reference)
    bias = torch.linspace(-1, 0, 49).view(1, 1, 7, 7).repeat(3, 1, 1, 1)
    with pytest.raises(PatchingError, match=r"mask cannot be handed to an attention function: .* neither 0"):
        patched(tokens(), attention_mask=bias)


def test_naming_the_dispatcher_without_attaching_an_attention(gpt2):
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
def test_prompts_that_cannot_be_compared(told, prompt, message):
    with pytest.raises(PatchingError, match=message):
        run_inference_comparison(told, told, prompt)


def test_models_that_do_not_fit_each_other(told, models):
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
def test_input_ids_that_are_no_batch(gpt2, input_ids):
    with pytest.raises(PatchingError, match=r"input_ids must be \(batch, seq_len\).*input_ids\[None\]"):
        extract_attention_weights(gpt2, input_ids)


# --- at the size of the real one ---


@pytest.mark.slow
def test_at_distilgpt2_size():
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
