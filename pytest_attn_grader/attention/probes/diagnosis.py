"""The probes of the diagnosis, and what a submission can be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_attn_grader.attention.probes.probe import Probe, build_probe
from pytest_attn_grader.attention.probes.specs import PROBE_SPECS, SPEC_BY_NAME, ProbeSpec
from pytest_attn_grader.attention.probes.variants import (
    LOW_DROPOUT_P,
    TRAIN_DROPOUT_P,
    in_train_mode,
    with_dropout_off,
    with_new_seed,
)
from pytest_attn_grader.attention.query_key_norm import Preparation


@dataclass(frozen=True)
class Capabilities:
    """Features of a submission that decide which probes it gets.

    Attributes:
        max_len: the longest text, in tokens, that makes sense for it.
        takes_dropout: it has a dropout parameter, so it is called in training too.
        off_dropout_p: the probability with which it must drop nothing outside of training; None when it is unknown.
        takes_mask: it is passed a mask; without one it knows neither padding on the left nor where a chunk begins.
        is_bidirectional: see `build_probe`.
        preparation: of query and key, where it is the submission's task.
        sliding_window: of the model, in tokens.
    """

    max_len: int = 1024
    takes_dropout: bool = False
    off_dropout_p: float | None = None
    takes_mask: bool = True
    is_bidirectional: bool = False
    preparation: Preparation | None = None
    sliding_window: int | None = None


def diagnosis_probes(seed: int, capabilities: Capabilities = Capabilities()) -> tuple[Probe, ...]:
    """Every probe of the diagnosis, in the order in which one instance should run them.

    With dropout there are "basic-eval", "basic-train", the same with another seed, and "basic-train-low" as well.
    """
    specs = [spec for spec in PROBE_SPECS if spec.key_len <= capabilities.max_len]
    if not capabilities.takes_mask:
        specs = [spec for spec in specs if spec.padding != "left" and spec.query_len in {1, spec.key_len}]

    def build(spec: ProbeSpec) -> Probe:
        if capabilities.is_bidirectional and not capabilities.takes_mask:
            spec = replace(spec, padding="none")
        probe = build_probe(spec, seed=seed, is_bidirectional=capabilities.is_bidirectional)
        return probe.with_preparation(capabilities.preparation).with_sliding_window(capabilities.sliding_window)

    probes = [build(spec) for spec in specs]
    # The same tensors, so that what is computed from them once serves every call.
    basic = next((probe for probe in probes if probe.name == "basic"), None) or build(SPEC_BY_NAME["basic"])
    probes.append(replace(with_new_seed(basic), name="basic-again"))
    if capabilities.off_dropout_p is not None:
        probes.append(with_dropout_off(basic, capabilities.off_dropout_p))
    if capabilities.takes_dropout:
        training = in_train_mode(basic, TRAIN_DROPOUT_P)
        probes += [
            training,
            replace(training, name="basic-train-again", seed=training.seed + 1),
            replace(in_train_mode(basic, LOW_DROPOUT_P), name="basic-train-low"),
        ]
    return tuple(probes)
