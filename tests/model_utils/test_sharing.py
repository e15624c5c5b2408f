"""A patched copy shares every tensor and leaves the original untouched."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.model_utils import (
    extract_attention_layer,
    patched_model,
    replace_attention_mechanism,
)
from tests.support.small_models import (
    CONFIGS,
    NUM_LAYERS,
    AttentionModule,
    WholeBlock,
    build,
    close,
    output_only,
    plain_reference,
    tokens,
    uniform_attention,
)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_original_is_untouched_and_every_tensor_shared(name: str) -> None:
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


def test_a_patched_model_can_be_patched_again_and_replaced(gpt2: Any) -> None:
    once = replace_attention_mechanism(gpt2, uniform_attention, 0)
    twice = replace_attention_mechanism(once, uniform_attention, 2)
    at_once = patched_model(gpt2, {0: uniform_attention, 2: uniform_attention})
    mended = patched_model(twice, {0: plain_reference, 2: AttentionModule()})
    with torch.no_grad():
        assert torch.equal(twice(tokens()).logits, at_once(tokens()).logits)
        assert not torch.equal(twice(tokens()).logits, once(tokens()).logits)
        close(mended(tokens()).logits, gpt2(tokens()).logits)


def test_a_block_gives_way_to_a_block_but_not_to_a_function(gpt2: Any) -> None:
    block = WholeBlock(extract_attention_layer(gpt2, 0))
    patched = replace_attention_mechanism(gpt2, nn.Identity())  # identity takes hidden states
    mended = replace_attention_mechanism(patched, block)
    with torch.no_grad():
        close(mended(tokens()).logits, gpt2(tokens()).logits)
    with pytest.raises(PatchingError, match=r"layer 0 .* replaced as a whole by WholeBlock .* patch the original"):
        replace_attention_mechanism(mended, plain_reference)


def test_an_attention_that_cannot_be_copied_is_shared(gpt2: Any) -> None:
    class Connection:
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("a connection was copied")

        def __call__(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
            return output_only(query, key, value, keep_mask)

    patched = replace_attention_mechanism(gpt2, Connection())
    again = copy.deepcopy(replace_attention_mechanism(patched, Connection(), 1))
    with torch.no_grad():
        close(again(tokens()).logits, gpt2(tokens()).logits)


def test_patching_leaves_nothing_behind(gpt2: Any) -> None:
    def living_tensors() -> Any:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    def patch_and_run() -> Any:
        patched = replace_attention_mechanism(gpt2, output_only)
        with torch.no_grad():
            patched(tokens(), output_attentions=True)
        return weakref.ref(patched)

    patch_and_run()
    before = living_tensors()
    ghosts = [patch_and_run() for _ in range(50)]
    assert living_tensors() <= before
    assert all(ghost() is None for ghost in ghosts)


def test_training_mode_is_kept(gpt2: Any) -> None:
    model = copy.deepcopy(gpt2).train()
    assert replace_attention_mechanism(model, plain_reference).training
    assert not replace_attention_mechanism(model.eval(), plain_reference).training


def test_an_exception_of_the_student_comes_through_and_leaves_the_model_usable(gpt2: Any) -> None:
    state = SimpleNamespace(broken=True)

    def sometimes(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Any:
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


def test_two_patched_models_in_two_threads_do_not_mix(gpt2: Any) -> None:
    patched = {
        True: replace_attention_mechanism(gpt2, output_only),
        False: replace_attention_mechanism(gpt2, uniform_attention),
    }
    with torch.no_grad():
        wanted = {asks: model(tokens(), output_attentions=asks) for asks, model in patched.items()}
    faults = []

    def run(asks: Any) -> Any:
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
