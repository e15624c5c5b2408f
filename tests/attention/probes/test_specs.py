from __future__ import annotations

from pytest_attn_grader.attention.probes import PROBE_SPECS, SPEC_BY_NAME, at_length, build_probe


def test_names_are_unique_and_shapes_hide_no_coincidence() -> None:
    assert len(SPEC_BY_NAME) == len(PROBE_SPECS)
    spec = SPEC_BY_NAME["basic"]
    sizes = [spec.batch_size, spec.num_heads, spec.query_len, spec.head_dim]
    assert len(set(sizes)) == 4
    # A module that unpacks a tuple of two takes a batch of two for one.
    assert all(each.batch_size != 2 for each in PROBE_SPECS)


def test_at_length() -> None:
    spec = at_length(SPEC_BY_NAME["basic"], 1)
    assert (spec.query_len, spec.key_len, spec.batch_size, spec.num_heads) == (1, 1, 1, 2)
    assert (spec.padding, spec.gradients, spec.name) == ("none", False, "length-1")
    assert build_probe(spec, seed=0).real_rows.all()
