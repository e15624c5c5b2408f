"""Mistakes of modules with a cache: each is named in two styles, and what looks like one is not."""

from __future__ import annotations

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Capabilities, build_probe, diagnosis_probes
from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.misconceptions.diagnose import diagnose
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.submission.adapt import fit
from tests.support.cached_modules import KEPT, RETURNED, ROTARY, START_POS
from tests.support.students import Workshop, change

SEED = 3
PREDICTIONS = PredictionCache()

SHIFTED = "torch.ones(t, s, dtype=torch.bool).tril(s - t)"
TURNED = "q, k = self.rotate(q, past), self.rotate(k, past)"
FREQUENCIES = "torch.arange(self.d // 2) / (self.d // 2)"
FROM_ZERO = f"torch.polar(torch.ones(t, self.d // 2), torch.arange(t)[:, None] * 10000.0 ** -({FREQUENCIES}))"

RESETTING = change(
    KEPT,
    (
        "    def forward",
        "    def reset_cache(self):\n        self.cached_keys = self.cached_values = None\n"
        "        self.seen = 0  # again\n\n    def forward",
    ),
)

WRONG = {
    ("cache-positions-restart", "of its own"): change(ROTARY, (TURNED, "q, k = self.rotate(q, 0), self.rotate(k, 0)")),
    ("cache-positions-restart", "complex factors"): change(
        START_POS, ("q, k = turn(q, freqs_cis)", f"freqs_cis = {FROM_ZERO}\n        q, k = turn(q, freqs_cis)")
    ),
    ("cache-positions-restart", "the queries alone"): change(
        ROTARY, (TURNED, "q, k = self.rotate(q, 0), self.rotate(k, past)")
    ),
    ("cache-positions-restart", "the keys alone"): change(
        ROTARY, (TURNED, "q, k = self.rotate(q, past), self.rotate(k, 0)")
    ),
    ("cache-positions-shifted", "twice"): change(
        ROTARY, (TURNED, "q, k = self.rotate(q, 2 * past), self.rotate(k, 2 * past)")
    ),
    ("cache-positions-shifted", "one too far"): change(
        ROTARY, (TURNED, "past += past > 0; q, k = self.rotate(q, past), self.rotate(k, past); past -= past > 0")
    ),
    ("cache-positions-shifted", "one too near"): change(
        ROTARY, (TURNED, "q, k = self.rotate(q, max(past - 1, 0)), self.rotate(k, max(past - 1, 0))")
    ),
    ("cache-rotated-again", "halves"): change(
        ROTARY, (TURNED, "q = self.rotate(q, past)"), ("# joined", "k = self.rotate(k, 0)")
    ),
    ("cache-rotated-again", "neighbours"): change(
        ROTARY,
        (TURNED, "q = self.rotate(q, past)"),
        ("# joined", "k = self.rotate(k, 0)"),
        ("x.chunk(2, -1)", "x[..., ::2], x[..., 1::2]"),
        ("torch.cat([a * angles", "torch.stack([a * angles"),
        ("a * angles.sin()], -1)", "a * angles.sin()], -1).flatten(-2)"),
    ),
    ("cache-forgotten", "never joined"): change(
        RETURNED, ("k, v = (torch.cat(pair, -2) for pair in zip(layer_past, (k, v)))", "pass")
    ),
    ("cache-forgotten", "one call back"): change(RETURNED, ("present = (k, v)", "present = new")),
    ("cache-mixed-up", "returned in the other order"): change(RETURNED, ("present = (k, v)", "present = (v, k)")),
    ("cache-mixed-up", "keys among the values"): change(
        KEPT, ("torch.cat([self.cached_values, v], dim=1)", "torch.cat([self.cached_values, k], dim=1)")
    ),
    ("cache-mixed-up", "the first example's"): change(
        RETURNED, ("present = (k, v)", "present = (k[:1].expand_as(k), v[:1].expand_as(v))")
    ),
    ("cache-unrotated", "before the rotation"): change(
        ROTARY,
        (TURNED, f"raw = k; {TURNED}"),
        ('{"k": k, "v": v}', '{"k": raw if cache is None else torch.cat([cache["k"], raw], -2), "v": v}'),
    ),
    ("cache-unrotated", "in another style"): change(
        START_POS,
        ("q, k = turn(q, freqs_cis), turn(k, freqs_cis)", "q, new = turn(q, freqs_cis), turn(k, freqs_cis)"),
        ("(self.cache_k, self.cache_v))", "(torch.cat([self.cache_k[:b, :start_pos], new], 1), self.cache_v))"),
    ),
    ("cache-wrong-axis", "of the heads"): change(RETURNED, ("torch.cat(pair, -2)", "torch.cat(pair, 1)")),
    ("cache-wrong-axis", "of the heads, kept"): change(
        KEPT,
        ("[self.cached_keys, k], dim=1", "[self.cached_keys, k], dim=2"),
        ("[self.cached_values, v], dim=1", "[self.cached_values, v], dim=2"),
    ),
    ("cache-forgotten", "the values"): change(KEPT, ("[self.cached_values, v], dim=1)", "[v], dim=1)")),
    ("cache-future-seen", "as soon as there is a cache"): change(
        RETURNED, ("scores = (q @", "keep = keep | torch.tensor(use_cache)\n        scores = (q @")
    ),
    ("cache-future-seen", "an empty cache"): change(
        KEPT, ("rows < cols", "(rows < cols) & (not use_cache or start > 0)")
    ),
    ("cache-future-seen", "with a mask for the padding"): change(
        RETURNED,
        ("layer_past=None, use_cache=False", "layer_past=None, use_cache=False, mask=None"),
        (
            "        out = ",
            "        if mask is not None:\n            scores = scores.masked_fill(~mask, -1e9)\n        out = ",
        ),
        ("tril(s - t)", "tril(s if use_cache else 0)"),
    ),
    ("cache-not-reset", "the position"): change(RESETTING, ("        self.seen = 0  # again\n", "")),
    ("cache-not-reset", "keys and values"): change(RESETTING, ("self.cached_keys = self.cached_values = None", "pass")),
    ("cache-not-reset", "a local name"): change(
        RESETTING, ("self.cached_keys = self.cached_values = None", "cached_keys = cached_values = None")
    ),
    ("cache-not-reset", "an exception"): change(RESETTING, ("self.cached_keys = self", "self.cached.keys = self")),
    ("sdpa-is-causal-topleft", "returned"): change(RETURNED, (SHIFTED, "torch.ones(t, s, dtype=torch.bool).tril()")),
    ("sdpa-is-causal-topleft", "kept"): change(KEPT, ("start = self.seen", "start = 0")),
}
# Right as long as one token comes at a time, which is said and not counted.
TOKEN_BY_TOKEN = {
    "no mask with a cache": change(
        RETURNED, (SHIFTED, "torch.ones(t, s, dtype=torch.bool).tril(s if layer_past is not None else 0)")
    ),
    "no mask after the first call": change(KEPT, ("rows < cols", "(rows < cols) & (start == 0)")),
    "a square mask": change(RETURNED, (SHIFTED, "torch.ones(t, t, dtype=torch.bool).tril()")),
    "refused": change(ROTARY, ("# joined", 'assert cache is None or t == 1, "one token at a time"')),
}
# Each looks like one of the mistakes, and is right.
NEAR_MISSES = {
    "unrotated keys are kept, all are rotated in every call": change(
        ROTARY,
        (TURNED, "q = self.rotate(q, past)"),
        ("# joined", "raw = k; k = self.rotate(k, 0)"),
        ('{"k": k, "v": v}', '{"k": raw, "v": v}'),
    ),
    "positions counted from 7": change(ROTARY, (TURNED, "q, k = self.rotate(q, past + 7), self.rotate(k, past + 7)")),
    "new keys before the old ones": change(
        RETURNED,
        ("zip(layer_past, (k, v))", "zip((k, v), layer_past)"),
        (SHIFTED, "torch.cat([torch.ones(t, t).tril(), torch.ones(t, s - t)], -1).bool()"),
    ),
    "a method that empties the cache": RESETTING,
    "one token needs no mask": change(RETURNED, (SHIFTED, f"({SHIFTED} if t > 1 else torch.ones(t, s).bool())")),
}
RIGHT = {"returned": RETURNED, "kept": KEPT, "rotary": ROTARY, "start_pos": START_POS}


def diagnosis_of(workshop: Workshop, source: str, base: float = BASE) -> Diagnosis | None:
    student = workshop.student(source, name="Attention")
    attention = fit(student, student.contract, seed=SEED, steps=LayerSteps(rotary_base=base))
    probes = {
        probe.name: probe
        for probe in diagnosis_probes(SEED, Capabilities(max_len=32, takes_mask="mask" in student.contract.roles))
        if attention.unsupported_reason(probe) is None and "16" not in probe.name
    }
    assert "cache-tokens" in probes
    attempts = {name: attention.run_probe(probe) for name, probe in probes.items()}
    return diagnose(
        attempts,
        probes,
        mask_convention=student.contract.mask_convention,
        rotary_base=attention.rotary_base,
        predictions=PREDICTIONS,
        source=source,
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("slug", "style"), WRONG)
def test_the_mistake_is_named(workshop: Workshop, slug: str, style: str) -> None:
    diagnosis = diagnosis_of(workshop, WRONG[slug, style])

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.parametrize("slug", ["cache-positions-restart", "cache-rotated-again"])
def test_the_mistake_is_named_in_a_model_with_another_base(workshop: Workshop, slug: str) -> None:
    style = "of its own" if slug == "cache-positions-restart" else "halves"
    diagnosis = diagnosis_of(workshop, change(WRONG[slug, style], ("10000.0", "500000.0")), base=500_000.0)

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", [*NEAR_MISSES, *RIGHT])
def test_what_is_right_gets_none(workshop: Workshop, name: str) -> None:
    assert diagnosis_of(workshop, {**NEAR_MISSES, **RIGHT}[name]) is None


@pytest.mark.parametrize("name", TOKEN_BY_TOKEN)
def test_right_token_by_token(workshop: Workshop, name: str) -> None:
    student = workshop.student(TOKEN_BY_TOKEN[name], name="Attention")
    attention = fit(student, student.contract, seed=SEED)
    supported = {
        probe: attention.unsupported_reason(build_probe(SPEC_BY_NAME[probe], seed=SEED)) is None
        for probe in ("cache-tokens", "cache-chunks")
    }
    assert supported == {"cache-tokens": True, "cache-chunks": False}
    assert "right token by token, but not for several" in str([note.why for note in attention.adaptations])


def test_a_mask_that_does_not_fit_is_no_forgotten_cache(workshop: Workshop) -> None:
    source = change(RETURNED, (SHIFTED, "torch.ones(s, s, dtype=torch.bool).tril()[:, -t:]"))
    diagnosis = diagnosis_of(workshop, source)
    assert diagnosis is not None
    assert "cache-forgotten" not in diagnosis.slugs
