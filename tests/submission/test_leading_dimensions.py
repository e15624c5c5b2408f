"""Code for any number of leading dimensions, with shapes in its annotations, as courses with jaxtyping write it.

The annotations are read and not obeyed: a call that works decides how many dimensions are passed.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.attention.rotation import BASE
from pytest_attn_grader.models.architectures import LayerSteps
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.trials import is_right_on
from tests.support.students import Workshop

pytestmark = pytest.mark.skipif(
    find_spec("jaxtyping") is None or find_spec("einops") is None, reason="the extra dev is not installed"
)

HEAD = """
import math, torch
from torch import Tensor, nn
from einops import einsum, pack, rearrange, unpack
from einops.layers.torch import Rearrange
from jaxtyping import Bool, Float, Int, jaxtyped
"""
FUNCTION = """
def scaled_dot_product_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... values d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None = None,
) -> Float[Tensor, " ... queries d_v"]:
    scores = einsum(Q, K, "... query d_k, ... key d_k -> ... query key") / math.sqrt(K.shape[-1])
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    return einsum(scores.softmax(-1), V, "... query key, ... key d_v -> ... query d_v")
"""
FOLDED = """
def attn(q: Float[Tensor, "... t d"], k: Float[Tensor, "... s d"], v: Float[Tensor, "... s d"], mask=None):
    *lead, t, d = q.shape
    q, k, v = (z.reshape(-1, *z.shape[-2:]) for z in (q, k, v))
    scores = torch.bmm(q, k.transpose(1, 2)) / d**0.5
    if mask is not None:
        scores = scores.view(*lead, *scores.shape[1:]).masked_fill(~mask, -torch.inf).flatten(0, -3)
    return torch.bmm(scores.softmax(-1), v).reshape(*lead, t, d)
"""
CHECKED = """
@jaxtyped(typechecker=None)
def attention(
    query: Float[Tensor, "*batch q d"], key: Float[Tensor, "*batch k d"], value: Float[Tensor, "*batch k d"],
    mask: Bool[Tensor, "*#batch q k"],
):
    scores = einsum(query, key, "... q d, ... k d -> ... q k") / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(mask.logical_not(), -1e9).softmax(-1)
    return einsum(weights, value, "... q k, ... k d -> ... q d"), weights
"""
HEADS_FIRST = """
def attention(q: Float[Tensor, "h t d"], k: Float[Tensor, "h s d"], v: Float[Tensor, "h s d"], mask=None):
    scores = einsum(q, k, "h t d, h s d -> h t s") / math.sqrt(q.shape[-1])
    scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    return einsum(scores.softmax(-1), v, "h t s, h s d -> h t d")
"""
ONE_HEAD = """
def sdpa(Q: Float[Tensor, "n d"], K: Float[Tensor, "m d"], V: Float[Tensor, "m d"], M: Bool[Tensor, "n m"]):
    (n, d), m = Q.shape, K.shape[0]
    return (einsum(Q, K, "n d, m d -> n m") / d**0.5).where(M, -torch.inf).softmax(dim=1) @ V
"""
FUNCTIONS = {
    "einsum with names": FUNCTION,
    "folded into a batch": FOLDED,
    "shapes checked at run time": CHECKED,
    "three dimensions": HEADS_FIRST,
    "two dimensions": ONE_HEAD,
}
MODULE = """
class MultiheadSelfAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.h = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.output_proj = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )

    def forward(self, x: Float[Tensor, " ... sequence_length d_in"]) -> Float[Tensor, " ... sequence_length d_out"]:
        CHECK
        q, k, v = (
            rearrange(project(x), "... s (h d) -> ... h s d", h=self.h)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = einsum(q, k, "... q d, ... k d -> ... q k") / q.shape[-1] ** 0.5
        keep = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).tril()
        output = einsum(scores.masked_fill(~keep, -torch.inf).softmax(-1), v, "... q k, ... k d -> ... q d")
        return self.output_proj(rearrange(output, "... h s d -> ... s (h d)"))
"""
PACKED = """
class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, dim * 3, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "... n d"]) -> Float[Tensor, "... n d"]:
        x, shape = pack([x], "* n d")
        q, k, v = rearrange(self.to_qkv(x), "b n (qkv h d) -> qkv b h n d", qkv=3, h=self.heads)
        scores = torch.einsum("bhid,bhjd->bhij", q * q.shape[-1] ** -0.5, k)
        n = scores.shape[-1]
        scores = scores.masked_fill(torch.ones((n, n), dtype=torch.bool).triu(1), -torch.finfo(scores.dtype).max)
        output = rearrange(torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), v), "b h n d -> b n (h d)")
        return unpack(self.to_out(output), shape, "* n d")[0]
"""
LAYERS = """
class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        split = "... s (h d) -> ... h s d"
        self.q, self.k, self.v = (
            nn.Sequential(nn.Linear(d_model, d_model), Rearrange(split, h=num_heads)) for _ in range(3)
        )
        self.o = nn.Sequential(Rearrange("... h s d -> ... s (h d)"), nn.Linear(d_model, d_model))

    def forward(self, x: Float[Tensor, "... s d"], mask: Bool[Tensor, "... #h q k"] | None = None):
        q, k, v = self.q(x), self.k(x), self.v(x)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        return self.o(scores.softmax(-1) @ v)
"""
ROTATE = """
def rotate(x: Float[Tensor, "... seq d_k"], theta: float, max_seq_len: int, token_positions: Int[Tensor, "... seq"]):
    frequencies = theta ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = (torch.arange(max_seq_len)[:, None] * frequencies)[token_positions]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., ::2], x[..., 1::2]
    return rearrange([a * cos - b * sin, a * sin + b * cos], "two ... d -> ... (d two)")
"""
PROJECTED = """
def run_multihead_self_attention(
    d_model: int, num_heads: int, TABLES
    q_proj_weight: Float[Tensor, " d_k d_in"], k_proj_weight: Float[Tensor, " d_k d_in"],
    v_proj_weight: Float[Tensor, " d_v d_in"], o_proj_weight: Float[Tensor, " d_model d_v"],
    in_features: Float[Tensor, " ... sequence_length d_in"], POSITIONS
) -> Float[Tensor, " ... sequence_length d_out"]:
    q, k, v = (
        rearrange(in_features @ weight.T, "... s (h d) -> ... h s d", h=num_heads)
        for weight in (q_proj_weight, k_proj_weight, v_proj_weight)
    )
    ROTATED
    scores = q @ k.transpose(-1, -2) / (d_model // num_heads) ** 0.5
    keep = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril()
    output = scores.masked_fill(~keep, -torch.inf).softmax(-1) @ v
    return rearrange(output, "... h s d -> ... s (h d)") @ o_proj_weight.T
"""


def projected(tables: str = "", positions: str = "", rotated: str = "") -> str:
    return PROJECTED.replace("TABLES", tables).replace("POSITIONS", positions).replace("ROTATED", rotated)


MODULES = {
    "any leading dimensions": MODULE.replace("CHECK", ""),
    "without a batch": MODULE.replace("CHECK", "assert x.ndim == 2"),
    "packed": PACKED,
    "layers of einops": LAYERS,
    "weights as arguments": projected(),
    "weights as arguments, rotated": ROTATE
    + projected(
        "max_seq_len: int, theta: float,",
        'token_positions: Int[Tensor, " ... sequence_length"] | None = None,',
        "positions = torch.arange(q.shape[-2]) if token_positions is None else token_positions\n"
        "    q, k = (rotate(z, theta, max_seq_len, positions) for z in (q, k))",
    ),
}


@pytest.mark.parametrize("style", FUNCTIONS)
def test_a_function(workshop: Workshop, style: str) -> None:
    student = workshop.student(HEAD + FUNCTIONS[style])
    attention = fit(student, student.contract, seed=0)

    for name in ("basic", "left-padding", "single", "long", "chunk", "bfloat16"):
        assert is_right_on(attention, build_probe(SPEC_BY_NAME[name], seed=1)), name


def test_annotations_as_text(workshop: Workshop) -> None:
    student = workshop.student("from __future__ import annotations\n" + HEAD + FUNCTION)

    assert is_right_on(fit(student, student.contract, seed=0), build_probe(SPEC_BY_NAME["basic"], seed=1))


@pytest.mark.parametrize("style", MODULES)
def test_hidden_states(workshop: Workshop, style: str) -> None:
    student = workshop.student(HEAD + MODULES[style])
    steps = LayerSteps(rotary_base=BASE if "rotated" in style else None)
    attention = fit(student, student.contract, seed=0, steps=steps)

    for name in ("unpadded", "single", "long"):
        probe = build_probe(SPEC_BY_NAME[name], seed=1)
        assert attention.unsupported_reason(probe) is None
        assert is_right_on(attention, probe), name
    notes = {note.name for note in attention.adaptations}
    assert ("one-at-a-time" in notes) == (style == "without a batch")
    assert ("rotary" in notes) == ("rotated" in style)
