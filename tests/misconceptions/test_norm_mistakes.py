"""Mistakes in the norm of query and key: each is named in two styles, and what looks like one is not."""

from __future__ import annotations

import pytest

from pytest_attn_grader.attention.probes import Capabilities, diagnosis_probes
from pytest_attn_grader.attention.query_key_norm import NormAxis
from pytest_attn_grader.misconceptions.diagnose import diagnose
from pytest_attn_grader.misconceptions.mismatches import PredictionCache
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.submission.adapt import fit
from tests.support.normed import NORMED, NORMED_WIDE
from tests.support.students import Workshop, change

SEED = 3
BASE = 1_000_000.0
PREDICTIONS = PredictionCache()

MEAN = "x.pow(2).mean(-1, keepdim=True)"
NORMS = "q, k = self.q_norm(q), self.k_norm(k)"
ROTATIONS = "q, k = rotate(q, self.theta), rotate(k, self.theta)"
NEIGHBOURS = (
    ("a, b = x.chunk(2, -1)", "a, b = x[..., ::2], x[..., 1::2]"),
    ("return torch.cat([", "return torch.stack(["),
    ("a * sin], -1)", "a * sin], -1).flatten(-2)"),
)
# The norms come before the heads are a dimension of their own, in (batch, seq, heads, head_dim).
EARLY = (
    (NORMS, "pass"),
    (
        "q = self.W_query(x).view(b, t, self.h, self.d).transpose(1, 2)",
        "q = self.q_norm(self.W_query(x).view(b, t, self.h, self.d)).transpose(1, 2)",
    ),
    (
        "k = self.W_key(x).view(b, t, self.g, self.d).transpose(1, 2)",
        "k = self.k_norm(self.W_key(x).view(b, t, self.g, self.d)).transpose(1, 2)",
    ),
)
WRONG: dict[tuple[str, str], tuple[str, NormAxis]] = {
    ("norm-wrong-axis", "positions"): (change(NORMED, (MEAN, "x.pow(2).mean(-2, keepdim=True)")), "head_dim"),
    ("norm-wrong-axis", "positions, neighbours"): (
        change(NORMED, *NEIGHBOURS, (MEAN, "x.square().mean(dim=2, keepdim=True)")),
        "head_dim",
    ),
    ("norm-wrong-axis", "heads"): (change(NORMED, (MEAN, "x.pow(2).mean(1, keepdim=True)")), "head_dim"),
    ("norm-wrong-axis", "heads of (batch, seq, heads, head_dim)"): (
        change(NORMED, *EARLY, (MEAN, "x.pow(2).mean(2, keepdim=True)")),
        "head_dim",
    ),
    ("norm-wrong-axis", "width"): (NORMED_WIDE, "head_dim"),
    ("norm-wrong-axis", "width by two axes"): (
        change(NORMED, *EARLY, (MEAN, "x.pow(2).mean((-2, -1), keepdim=True)")),
        "head_dim",
    ),
    ("norm-wrong-axis", "each head"): (NORMED, "width"),
    ("norm-wrong-axis", "all of an example"): (
        change(NORMED, (MEAN, "x.pow(2).flatten(1).mean(-1)[:, None, None, None]")),
        "head_dim",
    ),
    ("norm-forgotten", "both"): (change(NORMED, (NORMS, "pass")), "head_dim"),
    ("norm-forgotten", "result not used"): (change(NORMED, (NORMS, "self.q_norm(q), self.k_norm(k)")), "head_dim"),
    ("norm-forgotten", "key"): (change(NORMED, (NORMS, "q = self.q_norm(q)")), "head_dim"),
    ("norm-forgotten", "query"): (change(NORMED, *NEIGHBOURS, (NORMS, "k = self.k_norm(k)")), "head_dim"),
    ("norm-after-rotation", "lines exchanged"): (
        change(NORMED, (NORMS, "pass"), (ROTATIONS, f"{ROTATIONS}; {NORMS}")),
        "head_dim",
    ),
    ("norm-after-rotation", "neighbours, inside"): (
        change(
            NORMED,
            *NEIGHBOURS,
            (NORMS, "pass"),
            (ROTATIONS, "q, k = self.q_norm(rotate(q, self.theta)), self.k_norm(rotate(k, self.theta))"),
        ),
        "head_dim",
    ),
    ("norm-unweighted", "parameters are not used"): (change(NORMED, (" * self.scale", "")), "head_dim"),
    ("norm-unweighted", "no parameters"): (
        change(
            NORMED,
            ("self.q_norm, self.k_norm = RMSNorm(head_dim), RMSNorm(head_dim)", "self.normed = True"),
            ('hasattr(self, "q_norm")', 'hasattr(self, "normed")'),
            (NORMS, "q, k = (z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + 1e-6) for z in (q, k))"),
        ),
        "head_dim",
    ),
    ("norm-centred", "of torch"): (
        change(NORMED, ("RMSNorm(head_dim), RMSNorm(head_dim)", "nn.LayerNorm(head_dim), nn.LayerNorm(head_dim)")),
        "head_dim",
    ),
    ("norm-centred", "by hand, neighbours"): (
        change(
            NORMED,
            *NEIGHBOURS,
            (
                "        return x * torch.rsqrt(",
                "        x = x - x.mean(-1, keepdim=True)\n        return x * torch.rsqrt(",
            ),
        ),
        "head_dim",
    ),
    ("norm-weights-swapped", "each other's"): (
        change(NORMED, (NORMS, "q, k = self.k_norm(q), self.q_norm(k)")),
        "head_dim",
    ),
    ("norm-weights-swapped", "the query's twice"): (
        change(NORMED, *NEIGHBOURS, (NORMS, "q, k = self.q_norm(q), self.q_norm(k)")),
        "head_dim",
    ),
}
WRONG["rotary-theta", "beside a norm"] = (
    change(NORMED, (", theta=10000.0", ""), ("head_dim, theta", "head_dim, 10000.0")),
    "head_dim",
)
# Each looks like one of the mistakes, and is right.
NEAR_MISSES: dict[str, tuple[str, NormAxis]] = {
    "before the heads come first": (change(NORMED, *EARLY), "head_dim"),
    "both at once": (
        change(
            NORMED,
            (MEAN, "x.square().mean(dim=3, keepdim=True)"),
            (NORMS, "q = self.q_norm(q)\n            k = self.k_norm(k)"),
        ),
        "head_dim",
    ),
    "norm of the length": (
        change(NORMED, (f"torch.rsqrt({MEAN} + self.eps)", "(x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True))")),
        "head_dim",
    ),
    "the rotated length, then weights before the rotation": (
        change(NORMED, *NEIGHBOURS, (MEAN, "rotate(x, 7.0).pow(2).mean(-1, keepdim=True)")),
        "head_dim",
    ),
    "the width by two axes": (
        change(
            NORMED_WIDE,
            (MEAN, "x.unflatten(-1, (4, -1)).pow(2).mean((-2, -1), keepdim=True).squeeze(-1)"),
        ),
        "width",
    ),
    "no norm": (
        change(NORMED, ("if qk_norm", "if False")),
        "head_dim",
    ),
}


def diagnosis_of(workshop: Workshop, source: str, over: NormAxis) -> Diagnosis | None:
    student = workshop.student(source, name="Attention")
    attention = fit(student, student.contract, seed=SEED, steps=LayerSteps(rotary_base=BASE, norm_axis=over))
    capabilities = Capabilities(max_len=32, preparation=attention.preparation)
    probes = {
        probe.name: probe
        for probe in diagnosis_probes(SEED, capabilities)
        if attention.unsupported_reason(probe) is None and "16" not in probe.name
    }
    attempts = {name: attention.run_probe(probe) for name, probe in probes.items()}
    return diagnose(attempts, probes, rotary_base=attention.rotary_base, predictions=PREDICTIONS, source=source)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("slug", "style"), WRONG)
def test_the_mistake_is_named(workshop: Workshop, slug: str, style: str) -> None:
    diagnosis = diagnosis_of(workshop, *WRONG[slug, style])

    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_only_looks_like_a_mistake_gets_none(workshop: Workshop, name: str) -> None:
    assert diagnosis_of(workshop, *NEAR_MISSES[name]) is None


def test_the_axis_is_said(workshop: Workshop) -> None:
    diagnosis = diagnosis_of(workshop, *WRONG["norm-wrong-axis", "positions"])

    assert diagnosis is not None
    assert "over the positions; pairs: dimension i with i + head_dim / 2; base 1e+06" in diagnosis.message
