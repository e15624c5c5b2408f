"""Open a pretrained transformer, take its attention out, put another in, and look at what changes.

Usable on its own, in a notebook:

    from pytest_attn_grader.model_utils import *

    model, tokenizer = load_mini_transformer()
    student_model = replace_attention_mechanism(model, my_attention, layer_idx=0)
    figures = run_inference_comparison(model, student_model, "The cat sat on the mat")
    print(figures["cosine_similarity"][0])  # one number a head of layer 0

``my_attention`` is ``attention(query, key, value, keep_mask)``, see `replace_attention_mechanism`. Which
models it can be put into is derived from the model, see `pytest_attn_grader.models.architectures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Dict, Tuple, TypeAlias  # noqa: UP035

import torch
from torch import nn

from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.architectures import Architecture, find_architecture, inherit_architecture
from pytest_attn_grader.models.patching.attention_function import is_attention_block
from pytest_attn_grader.models.patching.blocks import replace_block, replace_function
from pytest_attn_grader.models.patching.dispatch import register, track_output_attentions
from pytest_attn_grader.models.patching.forward_pass import (
    attention_metrics,
    get_attentions,
    next_token_kl,
    run_forward,
)
from pytest_attn_grader.models.patching.shared_copy import eager_copy, eval_mode, is_eager
from pytest_attn_grader.models.patching.tokenizers import (
    attach_tokenizer,
    encode_prompt,
    get_tokenizer,
    inherit_tokenizer,
)

# What transformers' AutoModel and AutoTokenizer return is some model and some tokenizer; neither class is its type, and
# importing them here would cost every import of this module seconds.
AutoModel: TypeAlias = Any
AutoTokenizer: TypeAlias = Any

__all__ = [
    "load_mini_transformer",
    "extract_attention_layer",
    "replace_attention_mechanism",
    "run_inference_comparison",
    "extract_attention_weights",
    "patched_model",
    "attach_tokenizer",
    "get_tokenizer",
]


def load_mini_transformer() -> Tuple[AutoModel, AutoTokenizer]:  # noqa: UP006
    """Load the model of ``--attn-model=auto``: distilgpt2 when it is available, else the built-in ``mini``.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        ModelUnavailableError: no model can be loaded.
    """
    from pytest_attn_grader.models.load import ignore_missing_widgets, load_model

    with ignore_missing_widgets():
        loaded = load_model("auto")
    attach_tokenizer(loaded.model, loaded.tokenizer)
    return loaded.model, loaded.tokenizer


def extract_attention_layer(model: AutoModel, layer_idx: int = 0) -> nn.Module:
    """The module that is a layer's attention: it projects to query, key and value and calls the attention function.

    Args:
        model: a transformers model whose attention can be replaced, with or without head.
        layer_idx: which layer, from 0; negative counts from the end, as in Python.

    Returns:
        The module itself, not a copy: ``h[i].attn`` in GPT-2, ``encoder.layer[i].attention.self`` in BERT.

    Raises:
        PatchingError: the model's attention cannot be replaced, or layer_idx out of range.
    """
    architecture = find_architecture(model)
    return architecture.get_attention(model, _checked_layer_idx(layer_idx, architecture.num_layers))


def replace_attention_mechanism(
    model: AutoModel, student_attention: Callable[..., Any], layer_idx: int = 0
) -> AutoModel:
    """A model that is the given one but for one layer, whose attention is ``student_attention``.

    The result shares every tensor with the original (no second copy in memory; training one trains both) and leaves the
    original untouched. It computes attention eagerly. It works with gradients, padding and `generate`, and may be given
    back to this function to replace another layer.

    Args:
        model: a transformers model whose attention can be replaced, with or without head.
        student_attention: either an attention function, any callable or nn.Module
            ``attention(query, key, value, keep_mask) -> attn_output`` or ``(attn_output, attn_weights)``, where query
            is ``(batch, num_heads, query_len, head_dim)``, key and value ``(batch, num_heads, key_len, head_dim)``,
            contiguous, the key/value heads of grouped-query models repeated; keep_mask is boolean
            ``(batch, 1, query_len, key_len)``, True = may attend; scores are to be scaled by ``1 / sqrt(head_dim)``;
            attn_output has the query's shape and dtype, attn_weights is ``(batch, num_heads, query_len, key_len)``.
            With a cache query_len is smaller than key_len, and the queries are the last positions. A function without a
            fourth parameter masks by itself; a parameter with "mask" in its name gets the mask by name.
            Or an nn.Module with its own projections, ``forward(hidden_states)`` or
            ``forward(hidden_states, keep_mask)``, which replaces the attention block as a whole: hidden_states
            ``(batch, seq_len, hidden_size)`` in and out (in BERT the output projection stays). It keeps no cache, so
            the result is set to ``use_cache=False``.
        layer_idx: which layer, from 0; negative counts from the end, as in Python.

    Returns:
        A model of the same class, in the same training mode. ``output_attentions=True`` gives one entry a layer:
        weights that an attention function does not return are recovered by feeding it the identity as value; those of a
        module that replaces the block as a whole and does not return them are NaN.

    Raises:
        PatchingError: the model's attention cannot be replaced, layer_idx out of range, student_attention cannot be
            called that way; and, when the model runs, a result of the wrong type, shape, dtype or device. What the
            student's code raises itself comes through unchanged.
    """
    return patched_model(model, {layer_idx: student_attention})


def patched_model(model: AutoModel, attention_by_layer: Mapping[int, Callable[..., Any]]) -> AutoModel:
    """The same as `replace_attention_mechanism` for several layers at once, with one copy.

    Args:
        model: a transformers model whose attention can be replaced; it may be patched already.
        attention_by_layer: for each layer_idx the attention it gets.

    Raises:
        PatchingError: as `replace_attention_mechanism`; also when two keys mean the same layer.
    """
    architecture = find_architecture(model)
    num_layers = architecture.num_layers
    chosen = {_checked_layer_idx(layer_idx, num_layers): student for layer_idx, student in attention_by_layer.items()}
    if len(chosen) != len(attention_by_layer):
        raise PatchingError(f"two of the layers {sorted(attention_by_layer)} are the same one of {num_layers} layers.")
    for student in chosen.values():
        _check_callable(student)

    register()
    duplicate = eager_copy(model)
    for layer_idx, student in sorted(chosen.items()):
        _patch_layer(duplicate, architecture, layer_idx, student)
    track_output_attentions(duplicate)
    inherit_tokenizer(duplicate, model)
    inherit_architecture(duplicate, model)
    return duplicate


def run_inference_comparison(model: AutoModel, student_model: AutoModel, prompt: str) -> Dict[str, torch.Tensor]:  # noqa: UP006
    """Both models on one prompt: what each attends to, what each predicts, how far apart they are, how long they take.

    The tokenizer is the one known for the model (see `attach_tokenizer`), else the one of ``config._name_or_path``.

    Args:
        model: the reference, a transformers model with a language modelling head.
        student_model: the same model with another attention, as `replace_attention_mechanism` returns it.
        prompt: text of at least one token and at most the model's context.

    Returns:
        A dictionary of tensors on the CPU, T tokens in the prompt:

        - ``input_ids`` ``(1, T)``, int64
        - ``reference_attentions``, ``student_attentions`` ``(num_layers, num_heads, T, T)``
        - ``reference_logits``, ``student_logits`` ``(T, vocab_size)``
        - ``reference_next_token_probabilities``, ``student_next_token_probabilities`` ``(vocab_size,)``: after the last
          position
        - ``cosine_similarity``, ``jensen_shannon_divergence`` (nats), ``earth_movers_distance`` (tokens)
          ``(num_layers, num_heads)``, float64, see `attention.metrics`. Where the student's rows do not sum to
          one they are normalised first, see the next figure; where they are no weights at all (NaN, negative) these
          are NaN
        - ``student_row_sum_error`` ``(num_layers, num_heads)``, float64: largest |1 - row sum|, NaN where not finite
        - ``next_token_kl_divergence`` 0-d, float64, nats: of the student's next token from the reference's; NaN where
          the student's logits are not finite
        - ``max_logit_difference`` 0-d, float64
        - ``reference_seconds``, ``student_seconds`` 0-d, float64: one forward pass, the median of up to five
          after a warm-up

    Raises:
        PatchingError: no tokenizer is known, the prompt has no tokens or too many, or the models do not fit each other.
    """
    input_ids = encode_prompt(prompt, model, student_model)
    reference = run_forward(model, input_ids)
    student = run_forward(student_model, input_ids)
    for what in ("attentions", "logits"):
        if reference[what].shape != student[what].shape:
            raise PatchingError(
                f"the two models do not fit each other: {what} of shape {tuple(reference[what].shape)} and "
                f"{tuple(student[what].shape)}. student_model must be the same model with another attention."
            )
    return {
        "input_ids": input_ids,
        "reference_attentions": reference["attentions"],
        "student_attentions": student["attentions"],
        "reference_logits": reference["logits"],
        "student_logits": student["logits"],
        "reference_next_token_probabilities": reference["logits"][-1].softmax(dim=-1),
        "student_next_token_probabilities": student["logits"][-1].softmax(dim=-1),
        **attention_metrics(student["attentions"], reference["attentions"]),
        "next_token_kl_divergence": next_token_kl(student["logits"][-1], reference["logits"][-1]),
        "max_logit_difference": (student["logits"].double() - reference["logits"].double()).abs().max(),
        "reference_seconds": reference["seconds"],
        "student_seconds": student["seconds"],
    }


def extract_attention_weights(model: AutoModel, input_ids: torch.Tensor, layer_idx: int = 0) -> torch.Tensor:
    """Attention weights of one layer, computed eagerly whatever the model is set to; the model is left as it is.

    Works on any transformers model that returns its attentions, also of one whose attention cannot be replaced.

    Args:
        model: a transformers model; it runs without gradients and in evaluation mode.
        input_ids: ``(batch, seq_len)``, int64; no padding is assumed.
        layer_idx: which layer, from 0; negative counts from the end, as in Python.

    Returns:
        ``(batch, num_heads, seq_len, seq_len)``, rows are queries and sum to one.

    Raises:
        PatchingError: input_ids is no batch of tokens, layer_idx out of range, or the model returns no attentions.
    """
    if input_ids.ndim != 2 or input_ids.numel() == 0:
        raise PatchingError(
            f"input_ids must be (batch, seq_len) with at least one token, got shape {tuple(input_ids.shape)}; "
            "a single sequence becomes a batch with input_ids[None]."
        )
    eager_model = model if is_eager(model) else eager_copy(model)
    with eval_mode(eager_model):
        outputs = eager_model(input_ids.to(eager_model.device), output_attentions=True)
    attentions = get_attentions(eager_model, outputs)
    return attentions[_checked_layer_idx(layer_idx, len(attentions))]


def _patch_layer(model: AutoModel, architecture: Architecture, layer_idx: int, student: Callable[..., Any]) -> None:
    attention = architecture.get_attention(model, layer_idx)
    if not is_attention_block(student):
        replace_function(attention, student, layer_idx)
        return
    assert isinstance(student, nn.Module)  # is_attention_block has looked
    num_heads = architecture.heads[layer_idx].num_heads
    replace_block(attention, student, layer_idx, num_heads=num_heads, is_causal=architecture.causal)
    model.config.use_cache = False
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.use_cache = False


def _check_callable(student: Any) -> None:
    if isinstance(student, type):
        raise PatchingError(f"{student.__name__} is a class: construct it first, and pass the object.")
    if not callable(student):
        raise PatchingError(
            f"student_attention is of type {type(student).__name__}, which cannot be called; "
            "wanted a function attention(query, key, value, keep_mask) or an nn.Module."
        )
    if isinstance(student, nn.MultiheadAttention):
        raise PatchingError(
            "torch.nn.MultiheadAttention takes query, key and value of full width, not split into heads: wrap it in a "
            "module whose forward(hidden_states, keep_mask) calls it with them and attn_mask=~keep_mask."
        )


def _checked_layer_idx(layer_idx: int, num_layers: int) -> int:
    if isinstance(layer_idx, bool) or not isinstance(layer_idx, int):
        raise PatchingError(f"layer_idx must be an integer, got {layer_idx!r}.")
    if not -num_layers <= layer_idx < num_layers:
        raise PatchingError(
            f"layer_idx={layer_idx} is out of range: this model has {num_layers} layers, 0 to {num_layers - 1} "
            f"(or -{num_layers} to -1, from the end)."
        )
    return layer_idx % num_layers
