"""Probes: the same inputs for student, reference and every known mistake, and the record of what each did with them.

A probe is only inputs; a record is only what came back. Checks judge records, diagnosis matches them.
"""

from pytest_attn_grader.attention.probes.diagnosis import Capabilities, diagnosis_probes
from pytest_attn_grader.attention.probes.local import AttentionFunction, InProcessAttention
from pytest_attn_grader.attention.probes.probe import INPUT_NAMES, Probe, build_probe
from pytest_attn_grader.attention.probes.record import Attention, ProbeResult
from pytest_attn_grader.attention.probes.rows import max_abs, max_abs_error, real_rows
from pytest_attn_grader.attention.probes.specs import (
    PROBE_SPECS,
    SPEC_BY_NAME,
    ProbeSpec,
    at_length,
    probe_length,
    spec_named,
)
from pytest_attn_grader.attention.probes.variants import (
    LOW_DROPOUT_P,
    TRAIN_DROPOUT_P,
    VARIANTS,
    ignore_padding,
    in_float64,
    in_train_mode,
    last_queries,
    make_variant,
    perturb_future,
    perturb_padding,
    perturb_past,
    with_dropout_off,
    with_new_seed,
    without_gradients,
)

__all__ = [
    "Capabilities",
    "PROBE_SPECS",
    "SPEC_BY_NAME",
    "ProbeSpec",
    "at_length",
    "probe_length",
    "spec_named",
    "INPUT_NAMES",
    "Probe",
    "build_probe",
    "Attention",
    "ProbeResult",
    "AttentionFunction",
    "InProcessAttention",
    "LOW_DROPOUT_P",
    "TRAIN_DROPOUT_P",
    "VARIANTS",
    "ignore_padding",
    "with_new_seed",
    "in_float64",
    "in_train_mode",
    "last_queries",
    "make_variant",
    "perturb_future",
    "perturb_padding",
    "perturb_past",
    "with_dropout_off",
    "without_gradients",
    "real_rows",
    "max_abs_error",
    "max_abs",
    "diagnosis_probes",
]
