"""Every probe that telling mistakes apart needs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from pytest_attn_grader.attention.probes.probe import Probe, build_probe
from pytest_attn_grader.attention.probes.specs import PROBE_SPECS, SPEC_BY_NAME
from pytest_attn_grader.attention.probes.variants import TRAIN_DROPOUT_P, in_train_mode, with_dropout_off, with_new_seed


def diagnosis_probes(
    seed: int,
    *,
    max_len: int = 1024,
    takes_dropout: bool = False,
    takes_training: bool = False,
    takes_mask: bool = True,
    is_bidirectional: bool = False,
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
    build = partial(build_probe, seed=seed, device=device, is_bidirectional=is_bidirectional)
    probes = [build(spec) for spec in specs]
    basic = build(SPEC_BY_NAME["basic"])
    probes.append(replace(with_new_seed(basic), name="basic-again"))
    if takes_dropout and takes_training:
        probes.append(with_dropout_off(basic))
    if takes_dropout:
        training = in_train_mode(basic, TRAIN_DROPOUT_P)
        probes += [training, replace(training, name="basic-train-again", seed=training.seed + 1)]
    return tuple(probes)
