"""The same probe in another form, for checks that an output does not change when it must not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes.probe import Probe, derived_seed
from pytest_attn_grader.attention.reference import causal_keep_mask

# Of these p, 1 - p, 1 / p and 1 / (1 - p) all differ.
TRAIN_DROPOUT_P = 0.3
LOW_DROPOUT_P = 0.1


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
    return torch.arange(probe.real_rows.shape[-1]).expand_as(probe.real_rows)


def _replace_tokens(probe: Probe, replaced: Tensor, name: str) -> Probe:
    """Forward only, with other content in the tokens `replaced`, bool `(batch, seq)`: as many queries as keys.

    The change is large (other random numbers, three times as big), so that a leak of any size shows.
    """
    generator = torch.Generator().manual_seed(derived_seed(probe.seed, name))

    def change(tensor: Tensor) -> Tensor:
        fresh = 3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        return torch.where(replaced[:, None, :, None], fresh.to(tensor), tensor)

    return replace(probe, query=change(probe.query), key=change(probe.key), value=change(probe.value), upstream=None)


def last_queries(probe: Probe, query_len: int) -> Probe:
    """Only the last queries of the same text, with all its keys: what a model asks when a cache is in use."""
    full = probe.full_keep_mask
    return replace(
        probe,
        name=f"{probe.name}-last-{query_len}",
        query=probe.query[..., -query_len:, :].contiguous(),
        keep_mask=probe.keep_mask[..., -query_len:, :].contiguous(),
        full_keep_mask=None if full is None else full[..., -query_len:, :].contiguous(),
        real_rows=probe.real_rows[:, -query_len:],
        upstream=None,
    )


def ignore_padding(probe: Probe) -> Probe:
    """The same inputs, with a mask that blocks no padding: the causal one, and an encoder's blocks nothing."""
    if bool(probe.keep_mask.all()):
        # One query sees all the past in any case, and an encoder's attention sees everything.
        return probe
    if probe.is_bidirectional:
        return replace(probe, keep_mask=torch.ones_like(probe.keep_mask))
    query_len, key_len = probe.keep_mask.shape[-2:]
    window = probe.sliding_window
    keep_mask, full = (
        causal_keep_mask(query_len, key_len, sliding_window=size).expand_as(probe.keep_mask).clone()
        for size in (window, None)
    )
    return replace(probe, keep_mask=keep_mask, full_keep_mask=None if window is None else full)


def without_gradients(probe: Probe) -> Probe:
    """The same inputs, forward only."""
    return replace(probe, upstream=None)


def in_float64(probe: Probe) -> Probe:
    """The same numbers in double precision."""
    upstream = None if probe.upstream is None else probe.upstream.double()
    return replace(
        probe, query=probe.query.double(), key=probe.key.double(), value=probe.value.double(), upstream=upstream
    )


def in_train_mode(probe: Probe, dropout_p: float) -> Probe:
    """The same inputs with dropout on, as during training."""
    return replace(probe, name=f"{probe.name}-train", dropout_p=dropout_p, training=True, upstream=None)


def with_new_seed(probe: Probe) -> Probe:
    """The same inputs with another seed: what is random in an attention is another random at its second call."""
    return replace(without_gradients(probe), seed=probe.seed + 1)


def with_dropout_off(probe: Probe, dropout_p: float = TRAIN_DROPOUT_P) -> Probe:
    """The same inputs with a probability of dropout, outside of training: it must not matter."""
    return replace(without_gradients(probe), name=f"{probe.name}-eval", dropout_p=dropout_p)


# The variants that a check may ask for by name.
VARIANTS: Mapping[str, Callable[[Probe], Probe]] = {
    "again": with_new_seed,
    "other-future": partial(perturb_future, first_changed=5),
    "other-past": partial(perturb_past, first_kept=5),
    "other-padding": perturb_padding,
    "last-1": partial(last_queries, query_len=1),
    "last-4": partial(last_queries, query_len=4),
    "dropout-off": with_dropout_off,
}
_DROPOUT_DEFAULT = "dropout-default-"


def make_variant(probe: Probe, name: str) -> Probe:
    """The variant of a probe by its name: a key of `VARIANTS`, or "dropout-default-0.1" for a submission's own default.

    Raises:
        KeyError: there is no variant of this name.
    """
    if name.startswith(_DROPOUT_DEFAULT):
        return with_dropout_off(probe, float(name.removeprefix(_DROPOUT_DEFAULT)))
    return VARIANTS[name](probe)
