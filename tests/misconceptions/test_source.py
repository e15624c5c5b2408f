"""What the text of a submission shows, and what it does not."""

from __future__ import annotations

import pytest

from pytest_attn_grader.misconceptions.source import SubmissionSource
from pytest_attn_grader.misconceptions.syntax import (
    count_root_scalings,
    has_triangle_of_zeros,
    multiplies_infinity,
    takes_mask_of_ones,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("scores.masked_fill(mask, 0)", True),
        ("torch.where(mask, scores, 0)", True),
        ("scores = scores.masked_fill(mask, 0)", False),
        ("scores.masked_fill_(mask, 0)", False),
        ("print(scores.masked_fill(mask, 0))", False),
    ],
)
def test_a_result_that_is_thrown_away(line: str, expected: bool) -> None:
    assert SubmissionSource(line).discards_result_of("masked_fill", "where") is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s = s.masked_fill(mask, -1e-9)", True),
        ("FILL = -1e-9\ns = torch.where(mask, s, FILL)", True),
        ("s[mask] = -1e-9", True),
        ("s = s.masked_fill(mask, -1e9)", False),
        ("s = s / (total + 1e-9)", False),
        ("s = s.masked_fill(mask, True)", False),
    ],
)
def test_the_number_that_is_filled_with(line: str, expected: bool) -> None:
    assert SubmissionSource(line).fills_with(-1e-3, -1e-300) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [("s = s * mask", True), ("s *= keep", True), ("s = s * scale", False), ("s = (1 - mask) * -1e9 + s", False)],
)
def test_a_product_with_the_mask(line: str, expected: bool) -> None:
    assert SubmissionSource(line).multiplies_by_mask() is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("w = softmax(s.float(), -1)", True),
        ("w = s.softmax(-1, dtype=torch.float32)", True),
        ("s = s.to(torch.float32)", True),
        ("m = float('-inf')", False),
        ("p = torch.arange(4).float()", False),
        ("s = s + (1 - mask.float()) * -1e9", False),
        ("w = w.to(query.dtype)", False),
    ],
)
def test_a_cast_to_a_higher_precision(line: str, expected: bool) -> None:
    assert SubmissionSource(line).casts_up() is expected


def test_tensors_that_are_made_without_a_dtype() -> None:
    assert SubmissionSource("s = s + torch.triu(torch.ones(t, t))").makes_float_mask()
    assert not SubmissionSource("s = s + torch.ones(t, t, dtype=q.dtype)").makes_float_mask()
    assert not SubmissionSource("q = q * torch.ones(t)").makes_float_mask()
    assert SubmissionSource("s = s / torch.tensor([8.0])").makes_scale_tensor()
    assert not SubmissionSource("m = torch.full((t, t), float('-inf'))").makes_scale_tensor()
    assert not SubmissionSource("slopes = torch.tensor([2.0**-i for i in range(heads)])").makes_scale_tensor()


def test_what_does_not_parse_shows_nothing() -> None:
    source = SubmissionSource("def attention(:\n    scores.masked_fill(mask, 0)")
    assert not source.is_known
    assert not source.discards_result_of("masked_fill")
    assert not SubmissionSource().is_known
    assert not SubmissionSource("(" * 5000).is_known


def test_imports() -> None:
    source = SubmissionSource("import numpy as np\nfrom torch.nn import functional as F\n")
    assert source.imports("numpy")
    assert source.imports("torch")
    assert not source.imports("functional")


def test_tables_of_positions() -> None:
    assert SubmissionSource("a = freqs.cos(), torch.sin(freqs)").makes_tables()
    assert not SubmissionSource("a = torch.sin(freqs)").makes_tables()
    assert not SubmissionSource("a = positions.float() * inv_freq.float()").casts_up()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def mix(w, v):\n    out = w @ v\ny = mix(w, v)", "mix"),
        ("def mix(w, v):\n    return w @ v\ny = mix(w, v)", None),
        ("def show(w):\n    print(w)\nshow(w)", None),
        ("def parts(w):\n    yield w\ny = [*parts(w)]", None),
        ("class A:\n    def __init__(self):\n        self.x = 1\ny = A()", None),
    ],
)
def test_a_helper_whose_result_is_lost(source: str, name: str | None) -> None:
    assert SubmissionSource(source).helper_without_return() == name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m = mask[:, None, :, None]", True),
        ("m = padding_mask.unsqueeze(1).unsqueeze(3)", True),
        ("m = keep.unsqueeze(-1)", True),
        ("m = mask[:, None, None, :]", False),
        ("m = mask.unsqueeze(1).unsqueeze(2)", False),
        ("c = cos[..., None]", False),
    ],
)
def test_a_mask_that_meets_the_queries(line: str, expected: bool) -> None:
    assert SubmissionSource(line).blocks_query_axis() is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CACHE = []\ndef f(k):\n    CACHE.append(k)", True),
        ("def f(k, seen={}):\n    seen[0] = k", True),
        ("class A:\n    def forward(self, x):\n        if self.mask is None:\n            self.mask = x", True),
        ("def f(x):\n    if not hasattr(f, 'kept'):\n        f.kept = x", True),
        ("class A:\n    def forward(self, x):\n        self.k = cat([self.k, x])", True),
        ("class A:\n    def forward(self, x):\n        self.weights = x\n        return self.weights", False),
        ("def f(k):\n    global n\n    n = 1", True),
        ("@lru_cache(None)\ndef f(k):\n    return k", True),
        ("class A:\n    def __init__(self):\n        self.n = 1", False),
        ("SIZE = 3\ndef f(k):\n    parts = []\n    parts.append(k)\n    k[0] = SIZE", False),
    ],
)
def test_state_that_outlives_a_call(text: str, expected: bool) -> None:
    assert SubmissionSource(text).keeps_state() is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out = torch.empty(2, 3)", True),
        ("s = torch.Tensor(2, 3)", True),
        ("s = torch.Tensor([2, 3])", False),
        ("out = torch.zeros(2)", False),
    ],
)
def test_memory_without_numbers(text: str, expected: bool) -> None:
    assert SubmissionSource(text).leaves_memory_unwritten() is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def forward(self, q, key, value):\n    return f(q, q, value)", True),
        ("def forward(self, q, key, value):\n    return f(q, key, value)", False),
        ("def f(q, key):\n    return q", False),
        ("def scores(q, key, value):\n    return q @ key\n\ndef f(q, k, v):\n    return scores(q, k, v) @ v", False),
    ],
)
def test_a_parameter_that_is_never_read(text: str, expected: bool) -> None:
    assert SubmissionSource(text).never_reads("key", "value") is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("y = F.linear(x, w.weight.data)", True),
        ("y = x @ self.w_v.detach()", True),
        ("y = x.data", False),
        ("y = weights.data @ v", False),
    ],
)
def test_weights_without_their_gradient(line: str, expected: bool) -> None:
    assert SubmissionSource(line).cuts_off_weights() is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s = s / math.sqrt(q.shape[1])", True),
        ("d = k.size(-2)\ns = s * d ** -0.5", True),
        ("d = k.size(-1)\ns = s * d ** -0.5", False),
        ("s = s / q.shape[1]", False),
    ],
)
def test_the_root_of_the_number_of_tokens(line: str, expected: bool) -> None:
    assert SubmissionSource(line).takes_root_of_tokens() is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s = q @ k.mT / q.shape[-1]", True),
        ("s = (q / d) @ k.mT", True),
        ("q = q / math.sqrt(d)\ns = q @ k.mT / d.sqrt()", False),
        ("s = q @ k.mT * d**-0.25", False),
        ("s = q * 0.125 @ k.mT / d", False),
        ("s = F.scaled_dot_product_attention(q / d, k, v)", False),
        ("", False),
    ],
)
def test_nothing_takes_a_root(line: str, expected: bool) -> None:
    assert SubmissionSource(line).scales_without_root() is expected


def test_the_numbers_in_products_and_divisions() -> None:
    assert SubmissionSource("s = q @ k.mT / 1e9 * -2.5 + 7\nt = k ** 3").factors() == {1e9, 2.5}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("cos, sin = angles.cos(), angles.sin()", True),
        ("cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)", False),
        ("cos, sin = angles.cos()[:seq].type_as(x), torch.sin(angles).to(x)", False),
        ("cos, sin = angles.cos().to(x.dtype), angles.sin()", True),
        ("weights = scores.softmax(-1)", False),
    ],
)
def test_tables_that_are_left_in_float32(source: str, expected: bool) -> None:
    assert SubmissionSource(source).makes_float_tables() is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('scores = scores + (1 - mask) * float("-inf")', True),
        ("NEG_INF = -torch.inf\nscores += hidden * NEG_INF", True),
        ('scores = scores.masked_fill(late, float("-inf"))\nscores = scores * padding_mask', True),
        ('scores = (q @ k * scale).masked_fill(~mask, float("-inf")) ** 0.5', False),
        ("scores = scores * mask + torch.finfo(scores.dtype).min", False),
    ],
)
def test_infinity_that_may_meet_a_zero(source: str, expected: bool) -> None:
    assert multiplies_infinity(SubmissionSource(source).nodes) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("scores = scores + (mask - 1)", True),
        ("scores = scores + (1 - padding_mask[:, None])", True),
        ("left = length - (mask_length - 1)", False),
        ("rest = tokens - (num_masked - 1)", False),
    ],
)
def test_a_mask_minus_one_is_a_mask_of_ones(source: str, expected: bool) -> None:
    assert takes_mask_of_ones(SubmissionSource(source).nodes, ("mask",)) is expected


def test_a_function_of_its_own_is_no_library_call() -> None:
    own = "def scaled_dot_product_attention(q, k):\n    return q @ k.mT / d\nscaled_dot_product_attention(q, k)"
    assert SubmissionSource(own).scales_without_root()
    assert not SubmissionSource("F.scaled_dot_product_attention(q / d, k, v)").scales_without_root()


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("s = q @ k.mT / math.sqrt(d)\ns = s * mask", 1),
        ("scale = d**-0.5\nq = q * scale\ns = (q @ k.mT) * scale", 2),
        ("q /= d**0.5\nk = k / d.sqrt()", 2),
        ("s = q @ k.mT / d", 0),
    ],
)
def test_root_scalings_are_counted(source: str, count: int) -> None:
    assert count_root_scalings(SubmissionSource(source).nodes) == count


def test_a_triangle_of_zeros() -> None:
    assert has_triangle_of_zeros(SubmissionSource("m = torch.tril(torch.zeros(n, n))").nodes)
    assert has_triangle_of_zeros(SubmissionSource("m = torch.zeros(n, n).triu(1)").nodes)
    assert not has_triangle_of_zeros(SubmissionSource("m = torch.zeros(n, n) + torch.ones(n, n).tril()").nodes)
