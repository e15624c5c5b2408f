"""QK-norm inside a submission: found, filled, and graded where the model's layer has it; refused where it has not."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, Probe, build_probe
from pytest_attn_grader.attention.query_key_norm import NormAxis, Preparation
from pytest_attn_grader.attention.rotation import Pairing, Rotation
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.projections.norms import find_norms
from pytest_attn_grader.submission.remote.messages import RemoteParameter
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import is_right_on
from tests.support.normed import NORMED, NORMED_WIDE
from tests.support.students import Workshop, change

BASE = 1_000_000.0
NEIGHBOURS = (
    ("a, b = x.chunk(2, -1)", "a, b = x[..., ::2], x[..., 1::2]"),
    ("return torch.cat([", "return torch.stack(["),
    ("a * sin], -1)", "a * sin], -1).flatten(-2)"),
)
STYLES: dict[str, tuple[str, NormAxis, Pairing]] = {
    "a switch": (NORMED, "head_dim", "halves"),
    "always": (change(NORMED, ("qk_norm=False, ", ""), ("if qk_norm", "if True")), "head_dim", "halves"),
    "one more than the weight": (
        change(NORMED, ("torch.ones(dim)", "torch.zeros(dim)"), ("* self.scale", "* (1 + self.scale)")),
        "head_dim",
        "halves",
    ),
    "neighbours": (change(NORMED, *NEIGHBOURS), "head_dim", "neighbours"),
    "without an epsilon": (
        change(
            NORMED,
            (
                "torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)",
                "x.shape[-1] ** 0.5 / x.norm(dim=-1)[..., None]",
            ),
        ),
        "head_dim",
        "halves",
    ),
    "of torch": (change(NORMED, ("RMSNorm(head_dim)", "nn.RMSNorm(head_dim)")), "head_dim", "halves"),
    "another epsilon, another name": (
        change(
            NORMED,
            ("eps=1e-6", "eps=1e-5"),
            ("self.q_norm", "self.query_layernorm"),
            ("self.k_norm", "self.key_layernorm"),
            ('"q_norm"', '"query_layernorm"'),
        ),
        "head_dim",
        "halves",
    ),
    "before the heads are split": (NORMED_WIDE, "width", "halves"),
}
WRONG = {
    "over the sequence": change(NORMED, ("mean(-1, keepdim=True)", "mean(-2, keepdim=True)")),
    "over all heads": NORMED_WIDE,
    "after the rotation": change(
        NORMED,
        ("            q, k = self.q_norm(q), self.k_norm(k)\n", "            pass\n"),
        ("rotate(q, self.theta), ", "self.q_norm(rotate(q, self.theta)), "),
        (" rotate(k, self.theta)", " self.k_norm(rotate(k, self.theta))"),
    ),
    "of the query alone": change(NORMED, ("q, k = self.q_norm(q), self.k_norm(k)", "q = self.q_norm(q)")),
    "with weights that do not count": change(NORMED, (" * self.scale", " + 0 * self.scale")),
    "made and not called": change(
        NORMED, ("            q, k = self.q_norm(q), self.k_norm(k)\n", "            pass\n")
    ),
    "without weights": change(NORMED, ("nn.Parameter(torch.ones(dim))", "1.0")),
    "with the mean subtracted": change(
        NORMED, ("RMSNorm(head_dim), RMSNorm(head_dim)", "nn.LayerNorm(head_dim), nn.LayerNorm(head_dim)")
    ),
    "with each other's weights": change(NORMED, ("self.q_norm(q), self.k_norm(k)", "self.k_norm(q), self.q_norm(k)")),
}


def fitted(workshop: Workshop, source: str, axis: NormAxis | None = "head_dim", base: float = BASE) -> StudentAttention:
    student = workshop.student(source, name="Attention")
    return fit(student, student.contract, seed=0, steps=LayerSteps(rotary_base=base, norm_axis=axis))


def probe_for(attention: StudentAttention, name: str = "basic") -> Probe:
    return build_probe(SPEC_BY_NAME[name], seed=1).with_preparation(attention.preparation)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("style", STYLES)
def test_a_right_norm_is_graded_with_the_reference_having_it(workshop: Workshop, style: str) -> None:
    source, axis, pairing = STYLES[style]
    attention = fitted(workshop, source, axis)

    assert attention.preparation == Preparation(axis, Rotation(pairing, BASE))
    assert next(note.why for note in attention.adaptations if note.name == "query-key-norm").startswith("it normalises")
    for name in ("basic", "single", "narrow", "groups", "multi-query", "left-padding"):
        assert is_right_on(attention, probe_for(attention, name)), name
    gradients = attention.run_probe(probe_for(attention)).gradients
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients.values())


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_norm_does_not_equal_the_reference(workshop: Workshop, mistake: str) -> None:
    attention = fitted(workshop, WRONG[mistake])
    assert attention.preparation is not None
    assert not is_right_on(attention, probe_for(attention))


def test_without_a_norm_it_is_given_them_normalised_and_told_so(workshop: Workshop) -> None:
    attention = fitted(workshop, change(NORMED, ("if qk_norm", "if False")))

    assert attention.preparation is None
    assert is_right_on(attention, probe_for(attention))
    (note,) = [note.why for note in attention.adaptations if note.name == "query-key-norm"]
    assert note == "the model's layer normalises query and key, the submission does not: it is given them normalised"


def test_in_a_model_without_norms_a_switch_stays_off_and_others_are_refused(workshop: Workshop) -> None:
    attention = fitted(workshop, NORMED, None)
    assert attention.preparation is None
    assert is_right_on(attention, probe_for(attention))
    with pytest.raises(SubmissionError, match=r"does not have: q_norm\.scale, k_norm\.scale"):
        fitted(workshop, STYLES["always"][0], None)


def test_a_norm_needs_the_rotation_of_the_model(workshop: Workshop) -> None:
    with pytest.raises(SubmissionError, match=r"normalises query and key and does not rotate them"):
        fitted(workshop, change(NORMED, ("q, k = rotate(q, self.theta), rotate(k, self.theta)", "pass")))
    typed_in = fitted(workshop, change(NORMED, (", theta=10000.0", ""), ("head_dim, theta", "head_dim, 10000.0")))
    assert typed_in.preparation == Preparation("head_dim", None)
    assert not is_right_on(typed_in, probe_for(typed_in))


def parameter(name: str, *shape: int) -> RemoteParameter:
    return RemoteParameter(name, shape, "float32", "RMSNorm")


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("q_norm.weight", "k_norm.weight"),
        ("query_norm.scale", "key_norm.scale"),
        ("norm_q.weight", "norm_k.weight"),
        ("ln_q.g", "ln_k.g"),
        ("qnorm.weight", "knorm.weight"),
        ("q_layernorm.weight", "k_layernorm.weight"),
        ("attn.q_rmsnorm.gamma", "attn.k_rmsnorm.gamma"),
        ("q_norm_weight", "k_norm_weight"),
    ],
)
def test_the_norms_are_found_by_name(query: str, key: str) -> None:
    found = find_norms([parameter("ln.weight", 8), parameter(key, 4), parameter(query, 8)])

    assert found is not None
    assert (found.query, found.key, found.query_size, found.key_size) == (query, key, 8, 4)


@pytest.mark.parametrize(
    "names", [(), ("q_norm.weight",), ("norm.weight", "ln.weight"), ("q_norm.weight", "v_norm.weight")]
)
def test_other_norms_are_none_of_query_and_key(names: tuple[str, ...]) -> None:
    assert find_norms([parameter(name, 8) for name in names]) is None


def test_an_answer_in_float64_is_right_to_its_last_digits(workshop: Workshop) -> None:
    attention = fitted(workshop, NORMED)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 4, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    keep_mask = torch.ones(4, 4, dtype=torch.bool).tril()[None, None]
    assert attention.preparation is not None
    prepared_query, prepared_key = attention.preparation(query, key)
    scores = (prepared_query @ prepared_key.mT / 8**0.5).masked_fill(~keep_mask, -torch.inf)
    with torch.no_grad():
        output = attention(query, key, value, keep_mask)

    assert isinstance(output, torch.Tensor)
    torch.testing.assert_close(output, scores.softmax(-1) @ value, atol=1e-10, rtol=0)
