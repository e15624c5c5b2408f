"""What differs between architectures, as one table: where a layer's attention is and what it is called.

Everything is said relative to ``model.base_model``, so the same row serves the bare model and the one with a head.
To add an architecture, add a row and a checkpoint builder in tests/models/test_architectures.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.errors import PatchingError, UngradableError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class HeadConfig:
    """How a model splits its width: ``num_heads * head_dim`` is the width of the queries."""

    num_heads: int
    num_key_value_heads: int
    head_dim: int


@dataclass(frozen=True)
class ProjectionNames:
    """Names of the projections, relative to the attention module.

    Args:
        query, key, value: one name each; the same name three times when they are fused in one matrix.
        output: relative to the *layer*, because BERT keeps it outside its attention module.
        packing: ``separate``; ``fused`` = all queries, all keys, all values side by side; ``fused-per-head`` = the same
            three, but inside each head.
        transposed: True where weights are stored ``(in_features, out_features)`` (GPT-2's Conv1D), False for nn.Linear.
    """

    query: str
    key: str
    value: str
    output: str
    packing: str = "separate"
    transposed: bool = False


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Args:
        name: what messages call it.
        model_types: ``model.config.model_type`` values it covers.
        layers_path: from ``model.base_model`` to the list of layers.
        attention_path: from a layer to the module that projects to query, key and value and calls the attention.
        projections: what that module calls its projections.
        causal: whether a query may see only the past (unless the configuration says otherwise).
    """

    name: str
    model_types: tuple[str, ...]
    layers_path: str
    attention_path: str
    projections: ProjectionNames
    causal: bool

    def get_layers(self, model: nn.Module) -> nn.ModuleList:
        """The list of transformer layers; raises PatchingError when it is not where the table says."""
        layers: nn.ModuleList = _follow(model.base_model, self.layers_path, model, self)
        return layers

    def get_attention(self, model: nn.Module, layer_idx: int) -> nn.Module:
        """The attention module of one layer (``layer_idx`` counts from 0 and must be in range)."""
        attention: nn.Module = _follow(self.get_layers(model)[layer_idx], self.attention_path, model, self)
        return attention

    def get_output_projection(self, model: nn.Module, layer_idx: int) -> nn.Module:
        """The projection that mixes the heads' outputs of one layer."""
        projection: nn.Module = _follow(self.get_layers(model)[layer_idx], self.projections.output, model, self)
        return projection

    def get_head_config(self, model: nn.Module) -> HeadConfig:
        """Number of query heads, of key/value heads, and their width."""
        config: Any = model.config
        num_heads = int(config.num_attention_heads)
        num_key_value_heads = getattr(config, "num_key_value_heads", None)
        head_dim = getattr(config, "head_dim", None)
        return HeadConfig(
            num_heads=num_heads,
            num_key_value_heads=num_heads if num_key_value_heads is None else int(num_key_value_heads),
            head_dim=int(config.hidden_size) // num_heads if head_dim is None else int(head_dim),
        )

    def is_causal(self, model: nn.Module) -> bool:
        """Whether this model's layers hide the future: BERT does too when it is configured as a decoder."""
        config: Any = model.config
        return bool(getattr(config, "is_causal", self.causal) or getattr(config, "is_decoder", False))


_SPLIT = ProjectionNames("q_proj", "k_proj", "v_proj", "self_attn.o_proj")

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="GPT-2",
        model_types=("gpt2",),
        layers_path="h",
        attention_path="attn",
        projections=ProjectionNames("c_attn", "c_attn", "c_attn", "attn.c_proj", packing="fused", transposed=True),
        causal=True,
    ),
    Architecture(
        name="GPT-NeoX",
        model_types=("gpt_neox",),
        layers_path="layers",
        attention_path="attention",
        projections=ProjectionNames(
            "query_key_value", "query_key_value", "query_key_value", "attention.dense", packing="fused-per-head"
        ),
        causal=True,
    ),
    Architecture(
        name="Llama",
        model_types=("llama", "mistral", "qwen2", "qwen3"),
        layers_path="layers",
        attention_path="self_attn",
        projections=_SPLIT,
        causal=True,
    ),
    Architecture(
        name="BERT",
        model_types=("bert",),
        layers_path="encoder.layer",
        attention_path="attention.self",
        projections=ProjectionNames("query", "key", "value", "attention.output.dense"),
        causal=False,
    ),
    Architecture(
        name="DistilBERT",
        model_types=("distilbert",),
        layers_path="transformer.layer",
        attention_path="attention",
        projections=ProjectionNames("q_lin", "k_lin", "v_lin", "attention.out_lin"),
        causal=False,
    ),
)


def find_architecture(model: nn.Module) -> Architecture:
    """The row of the table that describes this model.

    Raises:
        PatchingError: the model is no transformers model, or its architecture is not in the table.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type is None or not hasattr(model, "base_model"):
        raise PatchingError(
            f"{type(model).__name__} is not a transformers model: it has no config.model_type to tell its architecture "
            "by. Load it with transformers' AutoModelForCausalLM.from_pretrained or take pytest_attn_grader's "
            "load_mini_transformer()."
        )
    for architecture in ARCHITECTURES:
        if model_type in architecture.model_types:
            return architecture
    raise PatchingError(
        f"architecture {model_type!r} ({type(model).__name__}) is not known here. Looked for config.model_type among "
        f"{', '.join(known for architecture in ARCHITECTURES for known in architecture.model_types)}. "
        "What works nevertheless: extract_attention_weights(model, input_ids, layer_idx) on any model that returns its "
        "attentions, and grading on a model of a known architecture (--attn-model=distilgpt2 or mini)."
    )


def is_causal_model(model: nn.Module) -> bool:
    """Whether a query in this model sees only the past; where that is not known, nothing can be graded.

    Raises:
        UngradableError: the model's architecture is not in the table.
    """
    try:
        return find_architecture(model).is_causal(model)
    except PatchingError as unknown:
        raise UngradableError(str(unknown)) from unknown


def _follow(start: Any, path: str, model: Any, architecture: Architecture) -> Any:
    try:
        return attrgetter(path)(start)
    except AttributeError as missing:
        raise PatchingError(
            f"{type(model).__name__} says it is a {architecture.name} model "
            f"(config.model_type={model.config.model_type!r}), but {type(start).__name__} has no {path!r}: {missing}. "
            f"Its modules: "
            f"{', '.join(name for name, _ in start.named_children()) or 'none'}."
        ) from missing
