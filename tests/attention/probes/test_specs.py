from __future__ import annotations

import math

import pytest

from pytest_attn_grader.attention.probes import (
    PROBE_SPECS,
    SPEC_BY_NAME,
    at_length,
    build_probe,
    probe_length,
    spec_named,
)


def test_names_are_unique_and_shapes_hide_no_coincidence() -> None:
    assert len(SPEC_BY_NAME) == len(PROBE_SPECS)
    spec = SPEC_BY_NAME["basic"]
    sizes = [spec.batch_size, spec.num_heads, spec.query_len, spec.head_dim]
    assert len(set(sizes)) == 4
    widths = {(each.num_heads, each.head_dim) for each in PROBE_SPECS}
    # six heads where two share a key: five cannot be cut into pairs; nine, more than a loop over eight counts
    assert {heads for heads, _ in widths} == {3, 5, 6, 9}
    # No two of these divisors of the scores are the same number.
    for heads, head_dim in widths:
        divisors = [math.sqrt(head_dim), math.sqrt(heads), math.sqrt(heads * head_dim), 2.0, math.sqrt(3), head_dim]
        assert len({round(divisor, 6) for divisor in divisors}) >= len(divisors) - (heads == 3)
    # A module that unpacks a tuple of two takes a batch of two for one.
    assert all(each.batch_size != 2 for each in PROBE_SPECS)


def test_at_length() -> None:
    spec = at_length(SPEC_BY_NAME["basic"], 1)
    assert (spec.query_len, spec.key_len, spec.batch_size, spec.num_heads) == (1, 1, 1, 2)
    assert (spec.padding, spec.gradients, spec.name) == ("none", False, "length-1")
    assert build_probe(spec, seed=0).real_rows.all()


@pytest.mark.parametrize(("limit", "lengths"), [(1024, (406, 715)), (256, (150, 203)), (64, (64, 64))])
def test_two_lengths_lie_between_the_longest_probe_and_the_limit(limit: int, lengths: tuple[int, int]) -> None:
    assert (probe_length("between-1", limit), probe_length("between-2", limit)) == lengths
    assert probe_length("limit", limit) == limit
    assert probe_length("basic", limit) is None


def test_the_probe_for_blocks_ends_with_a_part_of_a_block() -> None:
    length = probe_length("blocks", 64)
    assert length is not None
    assert all(length > 2 * block and length % block for block in (64, 128, 256))


@pytest.mark.parametrize("limit", [64, 256, 1024])
def test_a_module_as_wide_as_the_model_holds_the_longest_text(limit: int) -> None:
    spec = spec_named("limit", limit, for_hidden_states=True)
    assert spec.num_heads * spec.head_dim >= spec.key_len == limit
    assert spec_named("limit", limit, for_hidden_states=False).head_dim == SPEC_BY_NAME["single"].head_dim
    assert spec_named("basic", limit, for_hidden_states=True) is SPEC_BY_NAME["basic"]
