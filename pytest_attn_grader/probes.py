"""Probes: the same inputs for student, reference and every known mistake, and the record of what each did with them.

A probe is only inputs; a record is only what came back. Checks judge records, diagnosis matches them. The shapes are
chosen so that coincidences cannot hide a bug: three examples with a mask each, more than one head, a length that
differs from the head dimension, and padding that leaves no two rows of the batch alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from pytest_attn_grader.reference import causal_keep_mask
from pytest_attn_grader.results import Failure

INPUT_NAMES = ("query", "key", "value")


@dataclass(frozen=True)
class ProbeSpec:
    """The shape of a probe; `build_probe` turns it into tensors.

    Args:
        padding: "none", "right" or "left"; padded examples get lengths of their own.
        score_gain: factor on queries, so that attention scores leave the comfortable range.
        gradients: whether a random gradient is sent back through the output.
    """

    name: str
    title: str
    batch_size: int = 3
    num_heads: int = 4
    query_len: int = 10
    key_len: int = 10
    head_dim: int = 64
    dtype: torch.dtype = torch.float32
    padding: str = "right"
    score_gain: float = 1.0
    gradients: bool = False


# Explicit and ordered: the first ones are the most telling, and the diagnosis tries them first.
PROBE_SPECS: tuple[ProbeSpec, ...] = (
    ProbeSpec("basic", "three examples of 10 tokens, padded right", gradients=True),
    ProbeSpec("left-padding", "three examples of 10 tokens, padded left", padding="left"),
    ProbeSpec("unpadded", "three examples of 10 tokens", padding="none"),
    ProbeSpec("single", "one example", batch_size=1, padding="none", gradients=True),
    ProbeSpec("one-token", "one token", query_len=1, key_len=1, padding="none"),
    ProbeSpec("square", "as many tokens as the head has dimensions", query_len=64, key_len=64, gradients=True),
    ProbeSpec(
        "long", "more tokens than the head has dimensions", batch_size=1, query_len=97, key_len=97, padding="none"
    ),
    ProbeSpec("narrow", "heads of 16 dimensions", query_len=7, key_len=7, head_dim=16, gradients=True),
    ProbeSpec("decode", "one new token after nine (a cache in use)", query_len=1, padding="none"),
    ProbeSpec("chunk", "four new tokens after six (a cache in use)", query_len=4, padding="none"),
    ProbeSpec("large-scores", "scores in the hundreds", score_gain=100.0),
    ProbeSpec("bfloat16", "bfloat16 tensors", dtype=torch.bfloat16),
    ProbeSpec("float16", "float16 tensors", dtype=torch.float16),
)
SPEC_BY_NAME: Mapping[str, ProbeSpec] = {spec.name: spec for spec in PROBE_SPECS}


@dataclass(frozen=True)
class Probe:
    """Inputs of one experiment.

    Attributes:
        query: ``(batch, num_heads, query_len, head_dim)``; key and value ``(batch, num_heads, key_len, head_dim)``.
        keep_mask: bool ``(batch, 1, query_len, key_len)``, True = may attend; causal, and without the padded keys.
        real_rows: bool ``(batch, query_len)``, the queries that are no padding: only these are judged.
        upstream: gradient with respect to the output, zero on padded rows; None for forward only.
        first_changed: of a probe with another future, the first token that is not the original's.
        first_kept: of a probe with another past, the first token that is the original's.
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

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"query": self.query, "key": self.key, "value": self.value}

    @property
    def fingerprint(self) -> str:
        """The same for probes that ask the same: a hash over everything in it, values included."""
        digest = hashlib.sha256()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Tensor):
                digest.update(f"{each.name} {value.dtype} {value.device} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
            else:
                digest.update(f"{each.name} {value!r}".encode())
        return digest.hexdigest()

    @property
    def shape_text(self) -> str:
        batch_size, num_heads, query_len, head_dim = self.query.shape
        lengths = f"{query_len}" if query_len == self.key.shape[-2] else f"{query_len} of {self.key.shape[-2]}"
        return f"batch {batch_size}, {num_heads} heads, {lengths} tokens, head_dim {head_dim}"


@dataclass(frozen=True)
class Record:
    """What one attention did with one probe. `failure` says why there is nothing else.

    `changed` names inputs that are none of the probe's own tensors (hidden states) and were written into.
    """

    probe: str
    attn_output: Tensor | None = None
    attn_weights: Tensor | None = None
    weights_returned: bool = False
    output_requires_grad: bool | None = None
    gradients: Mapping[str, Tensor | None] = field(default_factory=dict)
    gradient_failure: Failure | None = None
    inputs_after: Mapping[str, Tensor] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    seconds: float = 0.0
    failure: Failure | None = None


class Attention(Protocol):
    """Anything a probe can be put to: the reference, a student, a known mistake."""

    def attempt(self, probe: Probe) -> Record:
        """Run the probe forward, and backward when it asks for gradients; never raises for the student's faults."""
        ...


class AttentionFunction(Protocol):
    """A local attention: `(query, key, value, keep_mask, dropout_p=, training=) -> (attn_output, attn_weights)`."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keep_mask: Tensor | None = None,
        *,
        dropout_p: float = 0.0,
        training: bool = False,
    ) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class LocalAttention:
    """Our own code put to a probe: the reference or a misconception, in this process."""

    function: AttentionFunction

    def attempt(self, probe: Probe) -> Record:
        wants_gradients = probe.upstream is not None
        leaves = {
            name: tensor.detach().clone().requires_grad_(wants_gradients) for name, tensor in probe.inputs.items()
        }
        # A copy of each leaf, as inside a model: a mistake that writes into its inputs must be able to do so.
        inputs = {name: leaf.clone() for name, leaf in leaves.items()}
        keep_mask = probe.keep_mask.clone()
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(wants_gradients):
            # Not torch.manual_seed: it records a stack trace for CUDA, which costs more than the attention itself.
            torch.default_generator.manual_seed(probe.seed)
            attn_output, attn_weights = self.function(
                inputs["query"],
                inputs["key"],
                inputs["value"],
                keep_mask,
                dropout_p=probe.dropout_p,
                training=probe.training,
            )
        gradients: dict[str, Tensor | None] = {}
        if probe.upstream is not None:
            gradients = _gradients(attn_output, probe.upstream, leaves)
        return Record(
            probe=probe.name,
            attn_output=attn_output.detach(),
            attn_weights=None if attn_weights is None else attn_weights.detach(),
            weights_returned=attn_weights is not None,
            output_requires_grad=attn_output.requires_grad,
            gradients=gradients,
            inputs_after={**{name: tensor.detach() for name, tensor in inputs.items()}, "keep_mask": keep_mask},
        )


def _gradients(attn_output: Tensor, upstream: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    if not attn_output.requires_grad:
        return dict.fromkeys(leaves)
    found = torch.autograd.grad(attn_output, tuple(leaves.values()), upstream.to(attn_output), allow_unused=True)
    return dict(zip(leaves, found, strict=True))


def build_probe(spec: ProbeSpec, *, seed: int, device: torch.device | None = None, sees_all: bool = False) -> Probe:
    """Turn a spec into tensors; the same seed gives the same tensors on every device and dtype.

    Args:
        sees_all: every query may attend to every key, nothing is padding: for an encoder's attention without a mask.
    """
    if sees_all:
        spec = replace(spec, padding="none")
    probe_seed = _derived_seed(seed, spec.name)
    generator = torch.Generator().manual_seed(probe_seed)

    def random(length: int) -> Tensor:
        shape = (spec.batch_size, spec.num_heads, length, spec.head_dim)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    query, key, value = random(spec.query_len) * spec.score_gain, random(spec.key_len), random(spec.key_len)
    if spec.score_gain > 1:
        # The first query sees one key, and its score is very low: a mask that fills with -100 blocks nothing there.
        query[..., 0, :] = -0.5 * spec.score_gain * key[..., spec.key_len - spec.query_len, :]
    upstream = random(spec.query_len)
    real_keys = _real_tokens(spec)  # (batch, key_len)
    real_rows = real_keys[:, spec.key_len - spec.query_len :]  # (batch, query_len)
    keep_mask = causal_keep_mask(spec.query_len, spec.key_len) & real_keys[:, None, None, :]
    keep_mask = torch.ones_like(keep_mask) if sees_all else keep_mask
    upstream = upstream * real_rows[:, None, :, None]

    def place(tensor: Tensor) -> Tensor:
        return tensor.to(device=device, dtype=spec.dtype)

    return Probe(
        name=spec.name,
        title=spec.title,
        query=place(query),
        key=place(key),
        value=place(value),
        keep_mask=keep_mask.to(device),
        real_rows=real_rows.to(device),
        upstream=place(upstream) if spec.gradients else None,
        seed=probe_seed,
    )


def _real_tokens(spec: ProbeSpec) -> Tensor:
    """Which keys are no padding: full, two thirds and a third of the length, so that no two examples are alike."""
    positions = torch.arange(spec.key_len).expand(spec.batch_size, -1)  # (batch, key_len)
    if spec.padding == "none":
        return torch.ones_like(positions, dtype=torch.bool)
    lengths = torch.tensor([max(1, spec.key_len - (spec.key_len * i) // 3) for i in range(spec.batch_size)])[:, None]
    return positions < lengths if spec.padding == "right" else positions >= spec.key_len - lengths


def _derived_seed(seed: int, name: str) -> int:
    """A seed of its own for every probe, so that adding a probe changes no other."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "little")


def perturb_future(probe: Probe, first_changed: int) -> Probe:
    """The same probe with every token from `first_changed` on replaced; earlier outputs must not notice."""
    other = _replace_tokens(probe, _positions(probe) >= first_changed, "future")
    return replace(other, name=f"{probe.name}-future", first_changed=first_changed)


def perturb_past(probe: Probe, first_kept: int) -> Probe:
    """The same probe with every token before `first_kept` replaced; later outputs must notice."""
    other = _replace_tokens(probe, _positions(probe) < first_kept, "past")
    return replace(other, name=f"{probe.name}-past", first_kept=first_kept)


def perturb_padding(probe: Probe) -> Probe:
    """The same probe with other content in the padding; real tokens must not notice."""
    return replace(_replace_tokens(probe, ~probe.real_rows, "padding"), name=f"{probe.name}-other-padding")


def _positions(probe: Probe) -> Tensor:
    return torch.arange(probe.real_rows.shape[-1], device=probe.real_rows.device).expand_as(probe.real_rows)


def _replace_tokens(probe: Probe, replaced: Tensor, name: str) -> Probe:
    """Forward only, with other content in the tokens `replaced`, bool `(batch, seq)`: as many queries as keys.

    The change is large (other random numbers, three times as big), so that a leak of any size shows.
    """
    generator = torch.Generator().manual_seed(_derived_seed(probe.seed, name))

    def change(tensor: Tensor) -> Tensor:
        fresh = 3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        return torch.where(replaced[:, None, :, None], fresh.to(tensor), tensor)

    return replace(probe, query=change(probe.query), key=change(probe.key), value=change(probe.value), upstream=None)


def last_queries(probe: Probe, query_len: int) -> Probe:
    """Only the last queries of the same text, with all its keys: what a model asks when a cache is in use."""
    return replace(
        probe,
        name=f"{probe.name}-last-{query_len}",
        query=probe.query[..., -query_len:, :].contiguous(),
        keep_mask=probe.keep_mask[..., -query_len:, :].contiguous(),
        real_rows=probe.real_rows[:, -query_len:],
        upstream=None,
    )


def without_gradients(probe: Probe) -> Probe:
    """The same inputs, forward only."""
    return replace(probe, upstream=None)


def in_float64(probe: Probe) -> Probe:
    """The same numbers in double precision, as the yardstick of all others."""
    upstream = None if probe.upstream is None else probe.upstream.double()
    return replace(
        probe, query=probe.query.double(), key=probe.key.double(), value=probe.value.double(), upstream=upstream
    )


def in_train_mode(probe: Probe, dropout_p: float) -> Probe:
    """The same inputs with dropout on, as during training."""
    return replace(probe, name=f"{probe.name}-train", dropout_p=dropout_p, training=True, upstream=None)


def at_length(spec: ProbeSpec, length: int) -> ProbeSpec:
    """A forward-only spec of another length: one example, two heads, so that a long one stays affordable."""
    return replace(
        spec,
        name=f"length-{length}",
        title=f"{length} tokens",
        batch_size=1,
        num_heads=2,
        query_len=length,
        key_len=length,
        padding="none",
        gradients=False,
    )


def judged_rows(tensor: Tensor, probe: Probe) -> Tensor:
    """The rows of `(batch, num_heads, query_len, n)` that are no padding, as `(rows, num_heads, n)`."""
    return tensor.transpose(1, 2)[probe.real_rows]


def largest_error(student: Tensor, reference: Tensor, probe: Probe) -> float:
    """Largest absolute difference over the judged rows; infinite where shapes differ or the student's is not finite."""
    batch_size, query_len = probe.real_rows.shape
    if student.shape != reference.shape or student.dim() != 4 or student.shape[::2] != (batch_size, query_len):
        return float("inf")
    return largest_size(judged_rows(student, probe).double() - judged_rows(reference, probe).double())


def largest_size(numbers: Tensor) -> float:
    """The largest absolute value; NaN counts as infinite, and nothing at all as 0."""
    # Without posinf, nan_to_num makes the largest finite number of infinity.
    sizes = numbers.double().abs().nan_to_num(nan=float("inf"), posinf=float("inf"))
    return float(sizes.max()) if sizes.numel() else 0.0


def another_time(probe: Probe) -> Probe:
    """The same inputs with another seed: what is random in an attention is another random at its second call."""
    return replace(without_gradients(probe), seed=probe.seed + 1)


TRAIN_DROPOUT_P = 0.5


def with_dropout_off(probe: Probe) -> Probe:
    """The same inputs with a probability of dropout, outside of training: it must not matter."""
    return replace(without_gradients(probe), name=f"{probe.name}-eval", dropout_p=TRAIN_DROPOUT_P)


# The same inputs in another form, for questions of the kind "does the answer change when it must not?".
VARIANTS: Mapping[str, Callable[[Probe], Probe]] = {
    "again": another_time,
    "other-future": partial(perturb_future, first_changed=5),
    "other-past": partial(perturb_past, first_kept=5),
    "other-padding": perturb_padding,
    "last-1": partial(last_queries, query_len=1),
    "last-4": partial(last_queries, query_len=4),
    "dropout-off": with_dropout_off,
}


def diagnosis_probes(
    seed: int,
    *,
    max_len: int = 1024,
    takes_dropout: bool = False,
    takes_training: bool = False,
    takes_mask: bool = True,
    sees_all: bool = False,
    device: torch.device | None = None,
) -> tuple[Probe, ...]:
    """Every probe that telling mistakes apart needs, in the order in which they should be put to one instance.

    Args:
        max_len: the longest text, in tokens, that makes sense for this submission.
        takes_dropout: it has a dropout parameter, so it is tried in training too ("basic-train", "basic-train-again").
        takes_training: it has a flag for training besides, so dropout can be off although p > 0 ("basic-eval").
        takes_mask: it is passed a mask; without one it cannot know of padding on the left, nor where a chunk begins.
        sees_all: see `build_probe`.
    """
    specs = [spec for spec in PROBE_SPECS if spec.key_len <= max_len]
    if not takes_mask:
        specs = [spec for spec in specs if spec.padding != "left" and spec.query_len in {1, spec.key_len}]
    build = partial(build_probe, seed=seed, device=device, sees_all=sees_all)
    probes = [build(spec) for spec in specs]
    basic = build(SPEC_BY_NAME["basic"])
    probes.append(replace(another_time(basic), name="basic-again"))
    if takes_dropout and takes_training:
        probes.append(with_dropout_off(basic))
    if takes_dropout:
        training = in_train_mode(basic, TRAIN_DROPOUT_P)
        probes += [training, replace(training, name="basic-train-again", seed=training.seed + 1)]
    return tuple(probes)
