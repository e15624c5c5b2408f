"""Probes of any shape, and those that the grader puts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, ProbeSpec, build_probe

SPECS = st.builds(
    ProbeSpec,
    st.just("any"),
    st.just("any"),
    batch_size=st.integers(1, 4),
    num_heads=st.integers(1, 3),
    query_len=st.integers(1, 9),
    head_dim=st.integers(1, 8),
    padding=st.sampled_from(["none", "right", "left"]),
    gradients=st.booleans(),
).map(lambda spec: replace(spec, key_len=spec.query_len))


def basic(name: str = "basic", seed: int = 0) -> Probe:
    return build_probe(SPEC_BY_NAME[name], seed=seed)
