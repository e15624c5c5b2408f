"""Find a model's attention modules, their numbers of heads and the names of their projections.

All of it is derived by one forward pass in which the reference attends in every layer, see `patching.recording`, and
proven: the model with the reference in every layer has to give its own output. Only the names of the projections come
from a table, whose rows are tried by name; a row holds when its values are the values that the attention got.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pytest_attn_grader.errors import PatchingError, UngradableError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pytest_attn_grader.attention.query_key_norm import NormAxis
    from pytest_attn_grader.models.patching.recording import RecordedLayer
    from pytest_attn_grader.models.query_key_norm import QueryKeyNorm


@dataclass(frozen=True)
class HeadConfig:
    """The numbers of heads of a layer and their width. The queries are ``num_heads * head_dim`` wide."""

    num_heads: int
    num_key_value_heads: int
    head_dim: int


@dataclass(frozen=True)
class ProjectionNames:
    """Names of the projections, relative to the attention module.

    Args:
        query, key, value: one name each; the same name three times when they are fused in one matrix.
        output: the projection that mixes the heads' outputs.
        packing: ``separate``; ``fused`` = all queries, all keys, all values side by side; ``fused-per-head`` = the same
            three, but inside each head.
        transposed: True where weights are stored ``(in_features, out_features)`` (GPT-2's Conv1D), False for nn.Linear.
        output_in_parent: True where `output` is relative to the module that the attention module is in (BERT).
    """

    query: str
    key: str
    value: str
    output: str
    packing: str = "separate"
    transposed: bool = False
    output_in_parent: bool = False


_FUSED = "query_key_value"
_QKV = ("q_proj", "k_proj", "v_proj")
PROJECTION_NAMES = (
    ProjectionNames(*_QKV, "o_proj"),  # Llama and most decoders since
    ProjectionNames(*_QKV, "out_proj"),  # OPT
    ProjectionNames(*_QKV, "dense"),  # Phi
    ProjectionNames("c_attn", "c_attn", "c_attn", "c_proj", packing="fused", transposed=True),  # GPT-2
    ProjectionNames(_FUSED, _FUSED, _FUSED, "dense", packing="fused-per-head"),  # GPT-NeoX
    ProjectionNames("query", "key", "value", "output.dense", output_in_parent=True),  # BERT and its descendants
    ProjectionNames("q_lin", "k_lin", "v_lin", "out_lin"),  # DistilBERT
)


@dataclass(frozen=True)
class LayerSteps:
    """The steps of a layer's attention, beside the formula, that a module takes itself; None each where it has none.

    Args:
        rotary_base: base of the rotary positions.
        norm_axis: axis of the norm of query and key.
        sliding_window: how many keys, its own included, a query sees.
        is_causal: whether it hides the future.
    """

    rotary_base: float | None = None
    norm_axis: NormAxis | None = None
    sliding_window: int | None = None
    is_causal: bool = True


@dataclass(frozen=True)
class Architecture:
    """The attention modules, heads and projections of one model.

    Args:
        model_type: ``model.config.model_type``; what messages call it.
        attention_names: for each layer the name, in the model, of the module that projects to query, key and value and
            calls the attention.
        heads: for each layer its heads.
        causal: whether a query sees only the past.
        rotary_bases: for each layer the base of the rotary positions by which query and key are rotated between
            projection and attention; None where they are not.
        projection_names: None where no row of `PROJECTION_NAMES` holds.
        query_key_norms: for each layer its norm of query and key before the rotation; None where it has none.
        sliding_windows: for each layer how many keys, its own included, a query sees; None for all of the past.
    """

    model_type: str
    attention_names: tuple[str, ...]
    heads: tuple[HeadConfig, ...]
    causal: bool
    rotary_bases: tuple[float | None, ...]
    projection_names: ProjectionNames | None
    query_key_norms: tuple[QueryKeyNorm | None, ...]
    sliding_windows: tuple[int | None, ...]

    @property
    def rotary(self) -> bool:
        """Whether query and key are rotated by their positions."""
        return any(base is not None for base in self.rotary_bases)

    def layer_steps(self, layer_idx: int, *, all_layers: bool = False) -> LayerSteps:
        """The steps of a layer that a module takes itself; with all layers, the window only where they have the same.

        An encoder's are not known: a submission for it takes its query and key as they are.
        """
        if not self.causal:
            return LayerSteps(is_causal=False)
        norm = self.query_key_norms[layer_idx]
        axis = None if norm is None else norm.over
        differ = all_layers and len(set(self.sliding_windows)) > 1
        return LayerSteps(self.rotary_bases[layer_idx], axis, None if differ else self.sliding_windows[layer_idx])

    @property
    def num_layers(self) -> int:
        return len(self.attention_names)

    @property
    def projections(self) -> ProjectionNames:
        """The names of the projections in the attention module.

        Raises:
            UngradableError: the names are not known, so this model's weights cannot be copied into a module.
        """
        if self.projection_names is None:
            raise UngradableError(
                f"The projections of a {self.model_type!r} model are not known here, so a module cannot be given its "
                "weights. Hand in a function of query, key and value, or grade in another model (--attn-model=mini)."
            )
        return self.projection_names

    def get_attention(self, model: nn.Module, layer_idx: int) -> nn.Module:
        """Return the attention module of one layer (``layer_idx`` counts from 0 and must be in range)."""
        return model.get_submodule(self.attention_names[layer_idx])

    def get_output_projection(self, model: nn.Module, layer_idx: int) -> nn.Module:
        """Return the projection that mixes the heads' outputs of one layer."""
        start = self.attention_names[layer_idx]
        if self.projections.output_in_parent:
            start = start.rpartition(".")[0]
        return model.get_submodule(f"{start}.{self.projections.output}")


# Weak, so that a model that is no longer used is not kept alive.
_architectures: WeakKeyDictionary[nn.Module, Architecture] = WeakKeyDictionary()


def find_architecture(model: nn.Module) -> Architecture:
    """Derive where this model's attention is, once for each model.

    Raises:
        PatchingError: it is not a transformers model, its attention cannot be replaced, or the model with the
            reference in every layer does not give its own output.
    """
    if model not in _architectures:
        _architectures[model] = _derive(model)
    return _architectures[model]


def inherit_architecture(duplicate: nn.Module, model: nn.Module) -> None:
    """Let a patched copy have its original's architecture: its own layers may be replaced as a whole."""
    _architectures[duplicate] = find_architecture(model)


def is_causal_model(model: nn.Module) -> bool:
    """Whether a query in this model sees only the past; where that is not known, nothing can be graded.

    Raises:
        UngradableError: the architecture cannot be derived.
    """
    try:
        return find_architecture(model).causal
    except PatchingError as unknown:
        raise UngradableError(str(unknown)) from unknown


def without_cache(model: nn.Module) -> dict[str, bool]:
    """The argument by which a decoder keeps no keys and values; encoders may have no such argument.

    Raises:
        UngradableError: the architecture cannot be derived.
    """
    return {"use_cache": False} if is_causal_model(model) else {}


def _derive(model: nn.Module) -> Architecture:
    from pytest_attn_grader.models.patching.recording import record_layers
    from pytest_attn_grader.models.query_key_norm import find_query_key_norm

    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type is None or not hasattr(model, "base_model"):
        raise PatchingError(
            f"{type(model).__name__} is not a transformers model: it has no config.model_type. Load it with "
            "transformers' AutoModelForCausalLM.from_pretrained or take pytest_attn_grader's load_mini_transformer()."
        )
    layers = record_layers(model)
    modules = [model.get_submodule(layer.name) for layer in layers]
    rotary_bases = tuple(_read_rotary_base(model, module, layer_idx) for layer_idx, module in enumerate(modules))
    return Architecture(
        model_type=str(model_type),
        attention_names=tuple(layer.name for layer in layers),
        heads=tuple(_count_heads(layer) for layer in layers),
        causal=all(layer.causal for layer in layers),
        rotary_bases=rotary_bases,
        projection_names=_find_projection_names(model, layers),
        query_key_norms=tuple(
            find_query_key_norm(module, layer.hidden_states, layer.query, layer.key, rotary_base=base)
            for module, layer, base in zip(modules, layers, rotary_bases, strict=True)
        ),
        sliding_windows=tuple(
            _read_sliding_window(model.config, module, layer, layer_idx)
            for layer_idx, (module, layer) in enumerate(zip(modules, layers, strict=True))
        ),
    )


def _read_rotary_base(model: Any, module: Any, layer_idx: int) -> float | None:
    if "position_embeddings" not in inspect.signature(type(module).forward).parameters:
        return None
    config = model.config
    parameters = getattr(config, "rope_parameters", None) or {}
    layer_types = getattr(config, "layer_types", None) or ()
    if layer_idx < len(layer_types) and isinstance(parameters.get(layer_types[layer_idx]), dict):
        parameters = parameters[layer_types[layer_idx]]  # Gemma 3: one base for windows, one for whole texts
    local_base = getattr(config, "rope_local_base_freq", None) if getattr(module, "is_sliding", False) else None
    return float(parameters.get("rope_theta") or local_base or getattr(config, "rope_theta", None) or 10_000.0)


def _read_sliding_window(config: Any, module: Any, layer: RecordedLayer, layer_idx: int) -> int | None:
    """The window of the configuration, where the layer is said to have it and its mask does not deny it."""
    from pytest_attn_grader.attention.reference import causal_keep_mask

    layer_types = getattr(config, "layer_types", None) or ()
    kind = layer_types[layer_idx] if layer_idx < len(layer_types) else "sliding_attention"
    window = getattr(module, "sliding_window", getattr(config, "sliding_window", None))
    if not isinstance(window, int) or kind != "sliding_attention":
        return None
    seq_len = layer.keep_mask.shape[-1]
    expected = causal_keep_mask(seq_len, sliding_window=window, device=layer.keep_mask.device)
    return window if layer.keep_mask.equal(expected) else None


def _count_heads(layer: RecordedLayer) -> HeadConfig:
    return HeadConfig(
        num_heads=layer.query.shape[1], num_key_value_heads=layer.value.shape[1], head_dim=layer.query.shape[3]
    )


def _find_projection_names(model: nn.Module, layers: tuple[RecordedLayer, ...]) -> ProjectionNames | None:
    holding = (names for names in PROJECTION_NAMES if all(_names_hold(names, model, layer) for layer in layers))
    return next(holding, None)


def _names_hold(names: ProjectionNames, model: nn.Module, layer: RecordedLayer) -> bool:
    """Whether the modules are there, and the value that they project to is the one that the attention got."""
    import torch

    modules: Mapping[str, Any] = dict(model.named_modules())
    output_start = layer.name.rpartition(".")[0] if names.output_in_parent else layer.name
    inputs = [f"{layer.name}.{name}" for name in (names.query, names.key, names.value)]
    if any(name not in modules for name in (*inputs, f"{output_start}.{names.output}")):
        return False
    heads = _count_heads(layer)
    with torch.no_grad():
        projected: Tensor = modules[inputs[-1]](layer.hidden_states)
    width = heads.num_key_value_heads * heads.head_dim
    if projected.shape[-1] != (width if names.packing == "separate" else 3 * width):
        return False
    if names.packing == "fused":
        projected = projected[..., 2 * width :]
    elif names.packing == "fused-per-head":
        per_head = projected.reshape(*projected.shape[:-1], heads.num_heads, 3, heads.head_dim)
        projected = per_head[..., 2, :].flatten(-2)
    value = layer.value.transpose(1, 2).flatten(2)
    return bool(torch.allclose(projected, value, rtol=1e-3, atol=1e-5))
