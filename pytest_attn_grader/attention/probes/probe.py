"""One probe: the inputs of an experiment, and how a spec and a seed become them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from pytest_attn_grader._utils.fork_cache import cached
from pytest_attn_grader.attention.probes.specs import ProbeSpec
from pytest_attn_grader.attention.query_key_norm import Preparation
from pytest_attn_grader.attention.reference import causal_keep_mask, sees_future

INPUT_NAMES = ("query", "key", "value")


@dataclass(frozen=True)
class Probe:
    """Inputs of one experiment.

    Attributes:
        query: ``(batch, num_heads, query_len, head_dim)``; key and value ``(batch, num_heads, key_len, head_dim)``.
        keep_mask: bool ``(batch, 1, query_len, key_len)``, True = may attend; causal, and without the padded keys.
        real_rows: bool ``(batch, query_len)``, the queries that are real tokens: only these are judged.
        upstream: gradient with respect to the output, zero on padded rows; None for forward only.
        first_changed: of a probe with another future, the first token that is not the original's.
        first_kept: of a probe with another past, the first token that is the original's.
        group_size: how many query heads share a key and a value; in `key` and `value` these are repeated.
        chunks: how many tokens each of several calls gets, which pass a cache on; empty for one call with all tokens.
        sliding_window: how many keys, its own included, a query sees at most; None for all of the past.
        full_keep_mask: the keep mask without the window; None where there is no window.
        preparation: of query and key before the scores, where it is the attention's task; None for none.
    """

    name: str
    title: str
    query: Tensor
    key: Tensor
    value: Tensor
    keep_mask: Tensor
    real_rows: Tensor
    upstream: Tensor | None = None
    dropout_p: float = 0.0
    training: bool = False
    seed: int = 0
    first_changed: int | None = None
    first_kept: int | None = None
    group_size: int = 1
    chunks: tuple[int, ...] = ()
    preparation: Preparation | None = None
    sliding_window: int | None = None
    full_keep_mask: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"query": self.query, "key": self.key, "value": self.value}

    def with_sliding_window(self, sliding_window: int | None) -> Probe:
        """The same inputs with a mask that lets every query see the last keys only."""
        if sliding_window is None:
            return self
        lengths = self.keep_mask.shape[-2:]
        near, own = (causal_keep_mask(*lengths, sliding_window=size) for size in (sliding_window, 1))
        keep_mask = self.keep_mask & near
        # A padded query behind the text has lost its last key. It keeps itself, as inside a model, or it would be NaN.
        lost = self.keep_mask.any(-1, keepdim=True) & ~keep_mask.any(-1, keepdim=True)
        keep_mask = keep_mask | (lost & own)
        return replace(self, keep_mask=keep_mask, sliding_window=sliding_window, full_keep_mask=self.keep_mask)

    def with_preparation(self, preparation: Preparation | None) -> Probe:
        """The same inputs, for an attention that prepares query and key in this way."""
        return self if preparation == self.preparation else replace(self, preparation=preparation)

    @property
    def is_bidirectional(self) -> bool:
        """Whether a query may attend to a later key: then the mask hides no future."""
        return sees_future(self.keep_mask)

    @property
    def prepared(self) -> tuple[Tensor, Tensor]:
        """Query and key as the scores need them."""
        return (self.query, self.key) if self.preparation is None else self.preparation(self.query, self.key)

    @cached_property
    def fingerprint(self) -> str:
        """A hash over everything in the probe, values included."""
        digest = hashlib.sha256()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Tensor):
                digest.update(f"{each.name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().contiguous().view(torch.uint8).numpy().tobytes())
            else:
                digest.update(f"{each.name} {value!r}".encode())
        return digest.hexdigest()

    @property
    def shape_text(self) -> str:
        batch_size, num_heads, query_len, head_dim = self.query.shape
        lengths = f"{query_len}" if query_len == self.key.shape[-2] else f"{query_len} of {self.key.shape[-2]}"
        groups = "" if self.group_size == 1 else f" on {num_heads // self.group_size} key/value heads"
        return f"batch {batch_size}, {num_heads} heads{groups}, {lengths} tokens, head_dim {head_dim}"


def build_probe(spec: ProbeSpec, *, seed: int, is_bidirectional: bool = False) -> Probe:
    """Turn a spec into tensors on the CPU; the same seed gives the same tensors in every dtype.

    The tensors must not be written into: a class shares them.

    Args:
        is_bidirectional: the mask hides the padding only, as an encoder's does.
    """
    return cached(("probe", spec, seed, is_bidirectional), lambda: _build(spec, seed, is_bidirectional))


def _build(spec: ProbeSpec, seed: int, is_bidirectional: bool) -> Probe:
    probe_seed = derived_seed(seed, spec.name)
    generator = torch.Generator().manual_seed(probe_seed)

    def random(length: int, group_size: int = 1) -> Tensor:
        shape = (spec.batch_size, spec.num_heads // group_size, length, spec.head_dim)
        tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
        return tensor.repeat_interleave(group_size, dim=1) if group_size > 1 else tensor

    query, key, value = (
        random(spec.query_len) * spec.score_gain,
        *(random(spec.key_len, spec.group_size) for _ in range(2)),
    )
    if spec.score_gain > 1:
        # The first query sees one key, and its score is very low: a mask that fills with -100 blocks nothing there.
        query[..., 0, :] = -0.5 * spec.score_gain * key[..., spec.key_len - spec.query_len, :]
    upstream = random(spec.query_len)
    real_keys = _real_tokens(spec)  # (batch, key_len)
    real_rows = real_keys[:, spec.key_len - spec.query_len :]  # (batch, query_len)
    visible = causal_keep_mask(spec.query_len, spec.key_len)
    keep_mask = (torch.ones_like(visible) if is_bidirectional else visible) & real_keys[:, None, None, :]
    upstream = upstream * real_rows[:, None, :, None]

    return Probe(
        name=spec.name,
        title=spec.title,
        query=query.to(spec.dtype),
        key=key.to(spec.dtype),
        value=value.to(spec.dtype),
        keep_mask=keep_mask,
        real_rows=real_rows,
        upstream=upstream.to(spec.dtype) if spec.gradients else None,
        seed=probe_seed,
        group_size=spec.group_size,
        chunks=spec.chunks,
    )


def _real_tokens(spec: ProbeSpec) -> Tensor:
    """Mark the keys that are real tokens: about 80, 60 and 40 per cent, so that each example has another padding."""
    positions = torch.arange(spec.key_len).expand(spec.batch_size, -1)  # (batch, key_len)
    if spec.padding == "none":
        return torch.ones_like(positions, dtype=torch.bool)
    padded = [spec.key_len * (index + 1) // (spec.batch_size + 2) for index in range(spec.batch_size)]
    lengths = torch.tensor([max(1, spec.key_len - number) for number in padded])[:, None]
    return positions < lengths if spec.padding == "right" else positions >= spec.key_len - lengths


def derived_seed(seed: int, name: str) -> int:
    """A separate seed for every probe, so that adding a probe changes no other."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "little")
