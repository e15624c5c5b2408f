"""The projections of a module: which of its parameters they are, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_attn_grader.submission.projections.custom_loader import LoaderMap
from pytest_attn_grader.submission.projections.norms import NormParameters

# The kind of a matrix that is an argument of a function: it may be stored in any way.
ARGUMENT = "Argument"


@dataclass(frozen=True)
class ParameterRef:
    """One matrix of a module, and the bias that belongs to it.

    Attributes:
        kind: "Linear" is stored ``(out_features, in_features)``, "Conv1D" the other way round; a bare "Parameter" may
            be either.
    """

    weight: str
    shape: tuple[int, ...]
    kind: str
    bias: str | None = None


@dataclass(frozen=True)
class ProjectionMap:
    """The projections of a module or function, and their sizes.

    Attributes:
        inputs: by role (q, k, v, or qkv, or q and kv); several places when every head has its own.
        num_heads, head_dim: as far as names, shapes and attributes say.
        width: features of the hidden states; None takes any.
        out_features: of the output projection, or of the heads side by side when there is none.
        others: parameters that belong to no projection; they keep their values.
        norms: those of `others` that normalise query and key.
        by_order: names said nothing; the matrices were taken as query, key, value, output as they are defined.
        letters: the order of query, key and value in a fused matrix, when its name says so.
        num_key_value_heads: heads of keys and values; None for one for every query head.
        kernels: names and shapes of convolutions with a kernel of one token, which are linear layers otherwise.
        low_rank: thin matrices whose product is added to a projection; they are set to 0.
        after_output: square matrices that are applied to the output projection's output; they become the identity.
        heads_are_traced: the number of heads was found by what outputs depend on; no argument or attribute says it.
        target: name or handle of what is called.
        loading: of a module that defines a loader, which fills its parameters.
    """

    inputs: dict[str, tuple[ParameterRef, ...]]
    output: ParameterRef | None
    num_heads: int
    head_dim: int
    width: int | None
    out_features: int
    others: tuple[str, ...] = ()
    by_order: bool = False
    letters: str | None = None
    num_key_value_heads: int | None = None
    norms: NormParameters | None = None
    kernels: tuple[tuple[str, tuple[int, ...]], ...] = ()
    low_rank: tuple[ParameterRef, ...] = ()
    after_output: tuple[ParameterRef, ...] = ()
    heads_are_traced: bool = False
    target: str | int = ""
    loading: LoaderMap | None = None

    @property
    def key_value_heads(self) -> int:
        """The number of key/value heads."""
        return self.num_key_value_heads or self.num_heads

    @property
    def is_grouped(self) -> bool:
        """Whether several query heads share a key and a value."""
        return self.key_value_heads != self.num_heads

    def with_heads(self, num_heads: int) -> ProjectionMap:
        """The same matrices of one head, as those of several that share it."""
        features = self.num_heads * self.head_dim
        return replace(self, num_heads=num_heads, head_dim=features // num_heads, heads_are_traced=num_heads > 1)

    @property
    def is_fused(self) -> bool:
        return "qkv" in self.inputs

    @property
    def has_input_biases(self) -> bool:
        if self.loading is not None:
            return {"b_q", "b_k", "b_v"} <= self.loading.takes
        return all(place.bias is not None for places in self.inputs.values() for place in places)

    @property
    def has_output(self) -> bool:
        return self.output is not None or (self.loading is not None and "w_o" in self.loading.takes)

    @property
    def has_output_bias(self) -> bool:
        if self.loading is not None:
            return "b_o" in self.loading.takes
        return self.output is not None and self.output.bias is not None
