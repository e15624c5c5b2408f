"""Run a model with the reference in every layer: records what each layer asks, and proves that nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.errors import PatchingError
from pytest_attn_grader.models.devices import one_thread
from pytest_attn_grader.models.patching.blocks import can_replace_function, replace_function
from pytest_attn_grader.models.patching.dispatch import register
from pytest_attn_grader.models.patching.shared_copy import eager_copy, eval_mode

_TOKENS = 5
# What rounding in another order makes of the largest number of the output; a structural difference makes far more.
_TOLERANCE_IN_EPS = 1000
_MAX_TOLERANCE = 0.05


@dataclass(frozen=True)
class RecordedLayer:
    """The inputs of the attention of one layer on a short text.

    Args:
        name: of the attention module, in the model.
        query: ``(1, num_heads, seq_len, head_dim)``, with the layer's own scaling in it.
        key, value: ``(1, num_key_value_heads, seq_len, head_dim)``.
        hidden_states: what the attention module was called with, ``(1, seq_len, hidden_size)``.
        keep_mask: ``(seq_len, seq_len)``, True = may attend.
    """

    name: str
    query: Tensor
    key: Tensor
    value: Tensor
    hidden_states: Tensor
    keep_mask: Tensor

    @property
    def causal(self) -> bool:
        """Whether its mask hid the future."""
        return not bool(self.keep_mask.triu(1).any())


class _RecordingAttention:
    """The reference attention of one layer, which keeps what it was asked."""

    takes_groups = True

    def __init__(self, name: str, layers: list[RecordedLayer], model_type: str) -> None:
        self.name = name
        self.layers = layers
        self.model_type = model_type
        self.hidden_states: Tensor | None = None

    def keep_hidden_states(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keep the first tensor that the attention module is called with (a forward hook)."""
        self.hidden_states = next(each for each in (*arguments, *named.values()) if isinstance(each, Tensor))

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
        if any(layer.name == self.name for layer in self.layers):
            raise PatchingError(
                f"{self.name} of this {self.model_type!r} model is several layers in one, so no single layer of it can "
                "be replaced. Take a model whose layers do not share weights."
            )
        assert self.hidden_states is not None  # the hook runs before
        self.layers.append(RecordedLayer(self.name, query, key, value, self.hidden_states, keep_mask[0, 0]))
        repeats = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(repeats, dim=1) for tensor in (key, value))
        return reference_attention(query, key, value, keep_mask)[0]


def record_layers(model: Any) -> tuple[RecordedLayer, ...]:
    """Record every layer's attention on a few tokens, in the order in which they run.

    Raises:
        PatchingError: the model cannot be run on tokens alone, no layer of it asks for an attention that can be
            replaced, or the reference in every layer does not give the model's own output.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise PatchingError(
            f"{type(model).__name__} is an encoder with a decoder, whose attentions are of several kinds; take a model "
            "that only decodes (distilgpt2) or only encodes (bert-base-uncased)."
        )
    register()
    duplicate = eager_copy(model)
    layers: list[RecordedLayer] = []
    for name, module in list(duplicate.named_modules()):
        if can_replace_function(module):
            recording = _RecordingAttention(name, layers, str(model.config.model_type))
            replace_function(module, recording, 0)
            module.register_forward_pre_hook(recording.keep_hidden_states, with_kwargs=True)
    with one_thread():  # a pool of threads that runs before a process is forked does not survive the fork
        expected = _run(eager_copy(model))
        actual = _run(duplicate)
    if not layers:
        raise PatchingError(
            f"no layer of {type(model).__name__} (config.model_type={model.config.model_type!r}) asks transformers' "
            "attention interface for its attention, so it cannot be replaced. What works nevertheless: "
            "extract_attention_weights(model, input_ids, layer_idx) on any model that returns its attentions, and "
            "grading in another model (--attn-model=distilgpt2 or mini)."
        )
    largest = float(expected.abs().max())
    tolerance = min(_TOLERANCE_IN_EPS * torch.finfo(expected.dtype).eps, _MAX_TOLERANCE) * max(1.0, largest)
    difference = float((actual - expected).abs().max())
    if not difference <= tolerance:
        raise PatchingError(
            f"{type(model).__name__} (config.model_type={model.config.model_type!r}) with the reference attention in "
            f"every layer does not give its own output: it differs by {difference:.2g}, and {tolerance:.2g} would be "
            "rounding. Its attention does more than scaled dot products; grade in another model (--attn-model=mini)."
        )
    return tuple(layers)


def _run(model: Any) -> Tensor:
    config = model.config
    # no padding: RoBERTa counts its positions from the tokens that are not
    usable = [token for token in range(int(config.vocab_size)) if token != getattr(config, "pad_token_id", None)]
    tokens = [usable[index % len(usable)] for index in range(2, 2 + _TOKENS)]
    input_ids = torch.tensor([tokens], device=next(model.parameters()).device)
    with eval_mode(model):
        try:
            # without the head, in which there is no attention: a large vocabulary takes longer than the layers
            output: Tensor = model.base_model(input_ids=input_ids)[0]
        except PatchingError:
            raise
        except (TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
            raise PatchingError(
                f"{type(model).__name__} (config.model_type={config.model_type!r}) cannot be run on tokens alone: "
                f"{type(error).__name__}: {error}. Take a language model that reads text only, such as distilgpt2."
            ) from error
    return output
