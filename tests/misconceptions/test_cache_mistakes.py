"""Mistakes of modules with a cache: each is named in two styles, and what looks like one is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_attn_grader.attention.probes import Capabilities, diagnosis_probes
from pytest_attn_grader.misconceptions.diagnose import diagnose
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.submission.adapt import fit
from tests.support.cached_modules import KEPT, RETURNED, ROTARY, START_POS, changed
from tests.support.students import Workshop

SEED = 3
PREDICTIONS = PredictionCache()

SHIFTED = "torch.ones(t, s, dtype=torch.bool).tril(s - t)"
TURNED = "q, k = self.rotate(q, past), self.rotate(k, past)"
FREQUENCIES = "torch.arange(self.d // 2) / (self.d // 2)"
FROM_ZERO = f"torch.polar(torch.ones(t, self.d // 2), torch.arange(t)[:, None] * 10000.0 ** -({FREQUENCIES}))"

WRONG = {
    ("cache-positions-restart", "of its own"): changed(ROTARY, (TURNED, "q, k = self.rotate(q, 0), self.rotate(k, 0)")),
    ("cache-positions-restart", "complex factors"): changed(
        START_POS, ("q, k = turn(q, freqs_cis)", f"freqs_cis = {FROM_ZERO}\n        q, k = turn(q, freqs_cis)")
    ),
    ("cache-rotated-again", "halves"): changed(
        ROTARY, (TURNED, "q = self.rotate(q, past)"), ("# joined", "k = self.rotate(k, 0)")
    ),
    ("cache-rotated-again", "neighbours"): changed(
        ROTARY,
        (TURNED, "q = self.rotate(q, past)"),
        ("# joined", "k = self.rotate(k, 0)"),
        ("x.chunk(2, -1)", "x[..., ::2], x[..., 1::2]"),
        ("torch.cat([a * angles", "torch.stack([a * angles"),
        ("a * angles.sin()], -1)", "a * angles.sin()], -1).flatten(-2)"),
    ),
    ("cache-unmasked", "no mask with a cache"): changed(
        RETURNED, (SHIFTED, "torch.ones(t, s, dtype=torch.bool).tril(s if layer_past is not None else 0)")
    ),
    ("cache-unmasked", "is_causal"): changed(KEPT, ("rows < cols", "(rows < cols) & (start == 0)")),
    ("cache-forgotten", "never joined"): changed(
        RETURNED, ("k, v = (torch.cat(pair, -2) for pair in zip(layer_past, (k, v)))", "pass")
    ),
    ("cache-forgotten", "one call back"): changed(RETURNED, ("present = (k, v)", "present = new")),
    ("sdpa-is-causal-topleft", "returned"): changed(RETURNED, (SHIFTED, "torch.ones(t, s, dtype=torch.bool).tril()")),
    ("sdpa-is-causal-topleft", "kept"): changed(KEPT, ("start = self.seen", "start = 0")),
    ("square-mask-decode", "returned"): changed(RETURNED, (SHIFTED, "torch.ones(t, t, dtype=torch.bool).tril()")),
    ("square-mask-decode", "rotary"): changed(
        ROTARY, ("torch.arange(s)[None] > torch.arange(past, s)[:, None]", "torch.ones(t, t).triu(1).bool()")
    ),
}
# Each looks like one of the mistakes, and is right.
NEAR_MISSES = {
    "unrotated keys are kept, all are rotated in every call": changed(
        ROTARY,
        (TURNED, "q = self.rotate(q, past)"),
        ("# joined", "raw = k; k = self.rotate(k, 0)"),
        ('{"k": k, "v": v}', '{"k": raw, "v": v}'),
    ),
    "positions counted from 7": changed(ROTARY, (TURNED, "q, k = self.rotate(q, past + 7), self.rotate(k, past + 7)")),
    "new keys before the old ones": changed(
        RETURNED,
        ("zip(layer_past, (k, v))", "zip((k, v), layer_past)"),
        (SHIFTED, "torch.cat([torch.ones(t, t).tril(), torch.ones(t, s - t)], -1).bool()"),
    ),
    "one token needs no mask": changed(RETURNED, (SHIFTED, f"({SHIFTED} if t > 1 else torch.ones(t, s).bool())")),
}
RIGHT = {"returned": RETURNED, "kept": KEPT, "rotary": ROTARY, "start_pos": START_POS}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    shop = Workshop(Path(tmp_path_factory.mktemp("caches")))
    yield shop
    shop.close()


def diagnosis_of(workshop: Workshop, source: str) -> Diagnosis | None:
    student = workshop.student(source, name="Attention")
    attention = fit(student, student.contract, seed=SEED)
    probes = {
        probe.name: probe
        for probe in diagnosis_probes(SEED, Capabilities(max_len=32, takes_mask="mask" in student.contract.roles))
        if attention.unsupported_reason(probe) is None and "16" not in probe.name
    }
    assert {"cache-tokens", "cache-chunks"} <= set(probes)
    attempts = {name: attention.run_probe(probe) for name, probe in probes.items()}
    return diagnose(
        attempts,
        probes,
        mask_convention=student.contract.mask_convention,
        is_rotary=attention.is_rotary,
        predictions=PREDICTIONS,
        source=source,
    )


@pytest.mark.parametrize(("slug", "style"), WRONG)
def test_the_mistake_is_named(workshop: Workshop, slug: str, style: str) -> None:
    diagnosis = diagnosis_of(workshop, WRONG[slug, style])

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.parametrize("name", [*NEAR_MISSES, *RIGHT])
def test_what_is_right_gets_none(workshop: Workshop, name: str) -> None:
    assert diagnosis_of(workshop, {**NEAR_MISSES, **RIGHT}[name]) is None
