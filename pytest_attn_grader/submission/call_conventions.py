"""The conventions of a call on hidden states that the signature leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import Rotation
from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.masks import PER_HEAD
from pytest_attn_grader.submission.projections.layouts import DEFAULT_LAYOUT, Layout
from pytest_attn_grader.submission.projections.norms import NormStyle
from pytest_attn_grader.submission.rotary_arguments import TableStyle


@dataclass(frozen=True)
class CallConventions:
    """The conventions of a call that were settled by trial.

    Attributes:
        mask_shape: the shape of the masks, one of `MASK_SHAPES`.
        one_at_a_time: hidden states are ``(seq, features)``, an example a call.
        rotation: what the module does to query and key by their positions.
        tables: how rotary positions are passed to a module that takes them as arguments.
        norm: the module's norm of query and key, in a model whose layer has one.
        one_text: why queries and keys are always of the same text, though each is an argument; None where they may
            be of different ones.
        cache: how keys and values of earlier calls are passed on; None for a submission without a cache.
    """

    layout: Layout = DEFAULT_LAYOUT
    mask_shape: str = PER_HEAD
    one_at_a_time: bool = False
    rotation: Rotation | None = None
    tables: TableStyle | None = None
    one_text: str | None = None
    cache: CacheStyle | None = None
    norm: NormStyle | None = None


def changed_inputs(sent: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the inputs that a call has left otherwise than they were sent."""
    names = {"hidden_states": "the hidden states", "query_states": "the hidden states", "mask": "the mask"}
    return tuple(
        names.get(name, name) for name, tensor in after.items() if not torch.equal(tensor, sent[name].detach())
    )
