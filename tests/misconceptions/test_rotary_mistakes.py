"""Mistakes of modules with rotary positions and groups: each is named in two styles, and what looks like one is not."""

from __future__ import annotations

import pytest

from pytest_attn_grader.attention.probes import Capabilities, diagnosis_probes
from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.misconceptions.diagnose import diagnose, diagnose_failure
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.results.submission import Failure
from pytest_attn_grader.submission.adapt import fit
from tests.support.students import Workshop

SEED = 3
PREDICTIONS = PredictionCache()

TABLES = """
import math, torch
from torch import nn

def halves(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

def neighbours(x, cos, sin):
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)

def tables(seq_len, width, theta=10000.0, start=0):
    angles = (torch.arange(seq_len)[:, None] + start) * theta ** (-torch.arange(0, width, 2) / width)
    return angles.cos(), angles.sin()

class Attention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads):
        super().__init__()
        self.h, self.g, self.d = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.k_proj, self.v_proj = (nn.Linear(d_model, num_kv_heads * self.d, bias=False) for _ in range(2))

    def forward(self, x):
        b, t, _ = x.shape
        c, s = tables(t, self.d)
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        BEFORE
        q = q.view(b, t, self.h, self.d).transpose(1, 2)
        k, v = (z.view(b, t, self.g, self.d).transpose(1, 2) for z in (k, v))
        ROTATED
        k, v = (SHARED for z in (k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        scores = scores.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
"""
RIGHT = "q, k = PAIRED(q, c, s), PAIRED(k, c, s)"
SIDE_BY_SIDE = "z.repeat_interleave(self.h // self.g, 1)"


def module_source(
    rotated: str = RIGHT, *, pairing: str = "halves", before: str = "", shared: str = SIDE_BY_SIDE
) -> str:
    source = TABLES.replace("BEFORE", before).replace("ROTATED", rotated).replace("SHARED", shared)
    return source.replace("PAIRED", pairing)


ROTATIONS = {
    "rotary-value": "q, k, v = PAIRED(q, c, s), PAIRED(k, c, s), PAIRED(v, c, s)",
    "rotary-one-side": "q = PAIRED(q, c, s)",
    "rotary-offset": "q, k = PAIRED(q, *tables(t, self.d, start=1)), PAIRED(k, c, s)",
    "rotary-sign": "q, k = PAIRED(q, c, -s), PAIRED(k, c, -s)",
    "rotary-theta": "q, k = (PAIRED(z, *tables(t, self.d, theta=500000.0)) for z in (q, k))",
}
OTHERS = {
    ("rotary-one-side", "key"): module_source("k = halves(k, c, s)"),
    ("rotary-pairs-mixed", "key in neighbours"): module_source("q, k = halves(q, c, s), neighbours(k, c, s)"),
    ("rotary-pairs-mixed", "key in halves"): module_source("q, k = neighbours(q, c, s), halves(k, c, s)"),
    ("rotary-offset", "behind"): module_source(
        "q, k = neighbours(q, *tables(t, self.d, start=-1)), neighbours(k, c, s)"
    ),
    ("rotary-theta", "1000"): module_source("q, k = (halves(z, *tables(t, self.d, theta=1000.0)) for z in (q, k))"),
    ("groups-tiled", "repeat"): module_source(shared="z.repeat(1, self.h // self.g, 1, 1)"),
    ("groups-tiled", "the keys alone"): module_source(
        RIGHT + "; k = k.repeat(1, self.h // self.g, 1, 1); v = v.repeat_interleave(self.h // self.g, 1)", shared="z"
    ),
    ("groups-tiled", "the values alone"): module_source(
        RIGHT + "; v = v.repeat(1, self.h // self.g, 1, 1); k = k.repeat_interleave(self.h // self.g, 1)", shared="z"
    ),
    ("groups-tiled", "index"): module_source(pairing="neighbours", shared="z[:, torch.arange(self.h) % self.g]"),
    ("groups-wrong-head", "divided by the number of groups"): module_source(
        shared="z[:, (torch.arange(self.h) // self.g).clamp(max=self.g - 1)]"
    ),
    ("groups-not-repeated", "product"): module_source(shared="z"),
    ("groups-not-repeated", "values alone"): module_source(
        "k = k.repeat_interleave(self.h // self.g, 1); " + RIGHT, shared="z"
    ),
    ("groups-not-repeated", "viewed as heads"): module_source(
        pairing="neighbours", shared="z.transpose(1, 2).reshape(b, t, self.h, self.d).transpose(1, 2)"
    ),
    ("groups-wrong-head", "backwards"): module_source(shared="z.flip(1).repeat_interleave(self.h // self.g, 1)"),
}
# The angles, from these frequencies of the pairs.
FREQUENCIES = """
        angles = torch.arange(t)[:, None] * FREQUENCIES
        q, k = (PAIRED(z, angles.cos(), angles.sin()) for z in (q, k))"""


def with_frequencies(frequencies: str, pairing: str = "halves") -> str:
    return module_source(FREQUENCIES.replace("FREQUENCIES", frequencies), pairing=pairing)


EXPONENTS = {
    ("rotary-exponents", "half the head"): with_frequencies(
        "1.0 / 10000.0 ** (torch.arange(0, self.d, 2) / (self.d // 2))"
    ),
    ("rotary-exponents", "i"): with_frequencies("10000.0 ** (-torch.arange(self.d // 2) / self.d)", "neighbours"),
    ("rotary-exponents", "linspace"): with_frequencies("10000.0 ** -torch.linspace(0, 1, self.d // 2)", "neighbours"),
    ("rotary-exponents", "from 1"): with_frequencies("10000.0 ** (-torch.arange(1, self.d, 2) / self.d)"),
}
# Query and key, turned by hand: FORMULA gives what becomes of the pair (a, b).
BY_HAND = """
        def by_hand(x):
            a, b = PARTS
            p, r = FORMULA
            return JOINED
        q, k = by_hand(q), by_hand(k)"""
PARTS = {
    "halves": ("x.chunk(2, -1)", "torch.cat([p, r], -1)"),
    "neighbours": ("x[..., ::2], x[..., 1::2]", "torch.stack([p, r], -1).flatten(-2)"),
}


def by_hand(formula: str, pairing: str = "halves") -> str:
    parts, joined = PARTS[pairing]
    return module_source(BY_HAND.replace("FORMULA", formula).replace("PARTS", parts).replace("JOINED", joined))


FORMULAS = {
    ("rotary-formula", "no minus"): by_hand("a * c + b * s, b * c + a * s"),
    ("rotary-formula", "no minus, neighbours"): by_hand("a * c + b * s, b * c + a * s", "neighbours"),
    ("rotary-formula", "the first half twice"): by_hand("a * c - b * s, a * c + a * s"),
    ("rotary-formula", "the cosine alone"): by_hand("a * c, b * c"),
    ("rotary-formula", "the sine alone"): by_hand("-b * s, a * s", "neighbours"),
    ("rotary-formula", "two minus"): by_hand("a * c - b * s, b * c - a * s", "neighbours"),
    ("rotary-layouts-mixed", "rotate_half"): module_source(
        "c, s = c.repeat_interleave(2, -1), s.repeat_interleave(2, -1)\n"
        "        q, k = (z * c + torch.cat([-z[..., self.d // 2 :], z[..., : self.d // 2]], -1) * s for z in (q, k))"
    ),
    ("rotary-layouts-mixed", "neighbours"): module_source(
        "c, s = torch.cat([c, c], -1), torch.cat([s, s], -1)\n"
        "        q, k = (z * c + torch.stack([-z[..., 1::2], z[..., ::2]], -1).flatten(-2) * s for z in (q, k))"
    ),
    ("rotary-partial", "a quarter"): module_source(
        "n = self.d // 4; c, s = tables(t, n)\n"
        "        q, k = (torch.cat([halves(z[..., :n], c, s), z[..., n:]], -1) for z in (q, k))"
    ),
    ("rotary-partial", "a half, by the angles of all"): module_source(
        "n = self.d // 2; c, s = c[:, : n // 2], s[:, : n // 2]\n"
        "        q, k = (torch.cat([neighbours(z[..., :n], c, s), z[..., n:]], -1) for z in (q, k))"
    ),
    ("rotary-over-heads", "halves"): module_source("q, k = (halves(z, *OVER_HEADS) for z in (q, k))"),
    ("rotary-over-heads", "neighbours"): module_source("q, k = (neighbours(z, *OVER_HEADS) for z in (q, k))"),
    ("rotary-twice", "halves"): module_source("q, k = (halves(halves(z, c, s), c, s) for z in (q, k))"),
    ("rotary-twice", "the key"): module_source("q, k = halves(q, c, s), halves(halves(k, c, s), c, s)"),
    ("rotary-twice", "positions doubled"): module_source("q, k = (neighbours(z, *DOUBLED) for z in (q, k))"),
}
OVER_HEADS = "(table[:, None] for table in tables(z.shape[1], self.d))"
DOUBLED = "(table[::2] for table in tables(2 * t, self.d))"
FORMULAS = {
    style: source.replace("OVER_HEADS", OVER_HEADS).replace("DOUBLED", DOUBLED) for style, source in FORMULAS.items()
}
WHOLE_WIDTH = "q, k = (PAIRED(z, *tables(t, z.shape[-1])) for z in (q, k))"
WRONG = {
    **{
        (slug, pairing): module_source(rotated, pairing=pairing)
        for slug, rotated in ROTATIONS.items()
        for pairing in ("halves", "neighbours")
    },
    **{
        ("rotary-model-width", pairing): module_source("", pairing=pairing, before=WHOLE_WIDTH)
        for pairing in ("halves", "neighbours")
    },
    **OTHERS,
    **EXPONENTS,
    **FORMULAS,
}
# Each looks like one of the mistakes, and is right.
NEAR_MISSES = {
    "both counted from 5": module_source("q, k = (PAIRED(z, *tables(t, self.d, start=5)) for z in (q, k))"),
    "rotated after sharing": module_source(
        "k, v = (SHARED for z in (k, v)); q, k = PAIRED(q, c, s), PAIRED(k, c, s)".replace("SHARED", SIDE_BY_SIDE),
        pairing="neighbours",
        shared="z",
    ),
    "a half of the dimensions, each": module_source(
        "q, k = (torch.cat([z[..., : self.d // 2] * c - z[..., self.d // 2 :] * s,"
        " z[..., self.d // 2 :] * c + z[..., : self.d // 2] * s], -1) for z in (q, k))"
    ),
    "angles of both halves side by side": module_source(
        "c, s = torch.cat([c, c], -1), torch.cat([s, s], -1)\n"
        "        q, k = (z * c + torch.cat([-z[..., self.d // 2 :], z[..., : self.d // 2]], -1) * s for z in (q, k))"
    ),
    "heads behind the tokens": module_source(
        "q, k = (PAIRED(z.transpose(1, 2).transpose(1, 2), c, s) for z in (q, k))", pairing="neighbours"
    ),
    "expanded groups": module_source(shared="z[:, :, None].expand(-1, -1, self.h // self.g, -1, -1).flatten(1, 2)"),
    "queries in groups, keys tiled over the other axis": module_source(
        shared="torch.stack([z] * (self.h // self.g), 2).flatten(1, 2)", pairing="neighbours"
    ),
}


def diagnosis_of(workshop: Workshop, source: str, base: float = BASE) -> Diagnosis | None:
    student = workshop.student(source, name="Attention")
    attention = fit(student, student.contract, seed=SEED, steps=LayerSteps(rotary_base=base))
    probes = {
        probe.name: probe
        for probe in diagnosis_probes(SEED, Capabilities(max_len=32, takes_mask=False))
        if attention.unsupported_reason(probe) is None and "16" not in probe.name
    }
    attempts = {name: attention.run_probe(probe) for name, probe in probes.items()}
    assert attention.rotary_base == base
    return diagnose(
        attempts,
        probes,
        mask_convention="none",
        rotary_base=attention.rotary_base,
        predictions=PREDICTIONS,
        source=source,
    )


TABLES_ARE_ARGUMENTS = (
    ("def forward(self, x):", "def forward(self, x, cos, sin):"),
    ("c, s = tables(t, self.d)", "c, s = cos, sin"),
)
AS_A_LAYER = (
    ("super().__init__()", "super().__init__()\n        self.rope = Rotary(d_model // num_heads)"),
    (
        "class Attention",
        "class Rotary(nn.Module):\n    def __init__(self, width): super().__init__()\n\nclass Attention",
    ),
)
# The positions are those of the heads: query and key of one head are turned alike.
APPLY = """
def apply_rope(x, d):
    x = x.transpose(1, 2)
    return halves(x, *tables(x.shape[2], d)).transpose(1, 2)

def tables"""
OVER_HEADS = (
    ("def tables", APPLY),
    ("scores = q @ k", "q, k = apply_rope(q, self.d), apply_rope(k, self.d)\n        scores = q @ k"),
)
FORGOTTEN = {
    ("rotary-forgotten", "arguments"): TABLES_ARE_ARGUMENTS,
    ("rotary-forgotten", "a layer"): AS_A_LAYER,
    ("rotary-forgotten", "over the heads"): OVER_HEADS,
}


def replaced(source: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        source = source.replace(old, new, 1)
    return source


@pytest.mark.parametrize("changes", FORGOTTEN.values(), ids=[style for _, style in FORGOTTEN])
def test_a_rotation_that_is_forgotten_is_named(workshop: Workshop, changes: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(SubmissionError, match="its output does not depend on positions") as raised:
        diagnosis_of(workshop, replaced(module_source(""), changes))
    diagnosis = diagnose_failure(Failure.from_error(raised.value))
    assert diagnosis is not None
    assert diagnosis.slugs == ("rotary-forgotten",)


def test_a_module_without_a_word_of_rotary_positions_is_given_rotated_ones(workshop: Workshop) -> None:
    assert diagnosis_of(workshop, module_source("").replace("c, s = tables(t, self.d)", "")) is None


def test_tables_that_are_passed_and_used_are_not_forgotten(workshop: Workshop) -> None:
    assert diagnosis_of(workshop, replaced(module_source(), TABLES_ARE_ARGUMENTS)) is None


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("slug", "style"), WRONG)
def test_the_mistake_is_named(workshop: Workshop, slug: str, style: str) -> None:
    diagnosis = diagnosis_of(workshop, WRONG[slug, style])

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_only_looks_like_a_mistake_gets_none(workshop: Workshop, name: str) -> None:
    assert diagnosis_of(workshop, NEAR_MISSES[name]) is None


IN_ANOTHER_MODEL = [
    ("rotary-value", "halves"),
    ("rotary-one-side", "neighbours"),
    ("rotary-one-side", "key"),
    ("rotary-offset", "behind"),
    ("rotary-sign", "halves"),
    ("rotary-pairs-mixed", "key in halves"),
    ("rotary-model-width", "neighbours"),
    ("rotary-layouts-mixed", "rotate_half"),
    ("rotary-formula", "no minus"),
    ("rotary-partial", "a quarter"),
    ("rotary-twice", "halves"),
]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("slug", "style"), IN_ANOTHER_MODEL)
def test_the_mistake_is_named_in_a_model_with_another_base(workshop: Workshop, slug: str, style: str) -> None:
    source = WRONG[slug, style].replace("theta=10000.0", "theta=500000.0")
    diagnosis = diagnosis_of(workshop, source, base=500_000.0)

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.parametrize("pairing", ["halves", "neighbours"])
def test_a_base_that_is_typed_in_is_another_than_the_models(workshop: Workshop, pairing: str) -> None:
    source = module_source(pairing=pairing)
    diagnosis = diagnosis_of(workshop, source, base=500_000.0)

    assert diagnosis is not None
    assert diagnosis.slugs == ("rotary-theta",)
    assert "base 10000" in diagnosis.message
    assert diagnosis_of(workshop, source) is None


def test_the_pairing_and_the_base_are_said(workshop: Workshop) -> None:
    diagnosis = diagnosis_of(workshop, WRONG["rotary-theta", "1000"])

    assert diagnosis is not None
    assert "base 1000; pairs: dimension i with i + head_dim / 2" in diagnosis.message
