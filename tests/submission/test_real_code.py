"""What real files do that neat ones do not: each written here after a kind seen in public code."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, build_probe
from pytest_attn_grader.errors import SubmissionError, UsageError
from pytest_attn_grader.submission.adapt import fit
from pytest_attn_grader.submission.trials import is_right, is_right_on

if TYPE_CHECKING:
    from pytest_attn_grader.submission.student_attention import StudentAttention
    from tests.support.students import Workshop

MODULE = textwrap.dedent(
    """
    import torch
    from torch import nn

    class CausalMHA(nn.Module):
        def __init__(self, width, num_heads):
            super().__init__()
            self.num_heads, self.head_dim = num_heads, width // num_heads
            self.PROJECTION = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)

        def forward(self, x, mask=None):
            batch_size, length, width = x.shape
            query, key, value = self.PROJECTION(x).chunk(3, dim=-1)
            split = lambda tensor: tensor.view(batch_size, length, self.num_heads, self.head_dim).transpose(1, 2)
            scores = split(query) @ split(key).transpose(-2, -1) / self.head_dim**0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            output = scores.softmax(dim=-1) @ split(value)
            return self.proj(output.transpose(1, 2).reshape(batch_size, length, width))
    """
)
MODEL = """
class AttentionModel(nn.Module):
    def __init__(self, width=32, num_heads=4):
        super().__init__()
        self.tokens = nn.Embedding(10, width)
        self.layer = CausalMHA(width, num_heads)

    def forward(self, x):
        batch_size, length = x.shape
        return self.layer(self.tokens(x))
"""
GROUPED = textwrap.dedent(
    """
    import torch
    from torch import nn

    class Grouped(nn.Module):
        def __init__(self, d_model, num_heads, num_kv_heads=DEFAULT):
            super().__init__()
            self.num_heads, self.groups, self.head_dim = num_heads, num_kv_heads or num_heads, d_model // num_heads
            self.q_proj = nn.Linear(d_model, d_model)
            self.k_proj = nn.Linear(d_model, self.groups * self.head_dim)
            self.v_proj = nn.Linear(d_model, self.groups * self.head_dim)
            self.o_proj = nn.Linear(d_model, d_model)

        def forward(self, x, mask=None):
            batch_size, length, _ = x.shape
            split = lambda tensor: tensor.view(batch_size, length, -1, self.head_dim).transpose(1, 2)
            query, key, value = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
            copies = self.num_heads // self.groups
            key, value = key.REPEAT, value.REPEAT
            scores = query @ key.transpose(-2, -1) / self.head_dim**0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            return self.o_proj((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch_size, length, -1))
    """
)


def fitted(workshop: Workshop, source: str, *, name: str | None = None) -> StudentAttention:
    student = workshop.student(source, name=name)
    return fit(student, student.contract, seed=1)


def names_of(attention: StudentAttention) -> list[str]:
    return [each.name for each in attention.adaptations]


@pytest.mark.parametrize("projection", ["qkv", "kqv", "c_attn", "in_proj"])
def test_a_name_with_another_order_than_the_code_settles_nothing(workshop: Workshop, projection: str) -> None:
    attention = fitted(workshop, MODULE.replace("PROJECTION", projection))
    assert is_right(attention, 1)


def test_a_model_around_the_layer_is_not_what_is_meant(workshop: Workshop) -> None:
    student = workshop.student(MODULE.replace("PROJECTION", "qkv") + MODEL)
    assert student.contract.candidate.name == "CausalMHA"


def test_an_instance_of_the_files_own_class_is_no_second_candidate(workshop: Workshop) -> None:
    student = workshop.student(MODULE.replace("PROJECTION", "qkv") + "\ntried_attention = CausalMHA(32, 4)\n")
    assert student.contract.candidate.name == "CausalMHA"
    with pytest.raises(UsageError, match="2 modules could be graded"):
        _ = workshop.student(MODULE.replace("PROJECTION", "qkv") + "\nclass OtherMHA(CausalMHA):\n    pass\n").contract


@pytest.mark.parametrize("default", ["None", "2"])
def test_grouped_heads_side_by_side_are_right(workshop: Workshop, default: str) -> None:
    source = GROUPED.replace("DEFAULT", default).replace("REPEAT", "repeat_interleave(copies, dim=1)")
    attention = fitted(workshop, source)
    assert is_right(attention, 1)
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["groups"], seed=1))


def test_a_module_that_takes_no_fewer_heads_is_right(workshop: Workshop) -> None:
    source = GROUPED.replace("DEFAULT", "None").replace("REPEAT", "repeat_interleave(copies, dim=1)")
    source = source.replace(
        "super().__init__()", "super().__init__()\n        assert num_kv_heads in {None, num_heads}"
    )
    assert is_right(fitted(workshop, source), 1)


def test_queries_and_keys_of_one_text_are_taken_so(workshop: Workshop) -> None:
    source = MODULE.replace("PROJECTION", "q_proj").replace("3 * width", "width")
    source = source.replace(
        "self.proj =",
        "self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)\n        self.proj =",
    )
    source = source.replace("forward(self, x, mask=None)", "forward(self, query, key, value, mask=None)")
    source = source.replace("= x.shape", "= query.shape").replace(
        "query, key, value = self.q_proj(x).chunk(3, dim=-1)",
        "query, key, value = self.q_proj(query), self.k_proj(key), self.v_proj(value)",
    )
    attention = fitted(workshop, source)
    assert "one-text" in names_of(attention)
    assert is_right(attention, 1)
    # Where each length is its own, a new token with a cache is asked for.
    assert "one-text" not in names_of(
        fitted(workshop, source.replace("view(batch_size, length,", "view(batch_size, -1,"))
    )


SQUARE = '''
def attention(query, key, value, mask=None):
    """query, key, value (batch, heads, seq, head_dim), mask (seq_q, seq_k)."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        if mask.dim() != 2:
            raise ValueError("mask must be (seq_q, seq_k)")
        scores = scores.masked_fill(~mask[None, None], float("-inf"))
    return scores.softmax(-1) @ value
'''


@pytest.mark.parametrize("returned", ["scores.softmax(-1) @ value", "scores.softmax(-1) @ value, scores.softmax(-1)"])
def test_one_mask_for_all_heads_and_examples(workshop: Workshop, returned: str) -> None:
    attention = fitted(workshop, SQUARE.replace("scores.softmax(-1) @ value", returned))
    assert "mask-shape" in names_of(attention)
    assert is_right(attention, 1)


@pytest.mark.parametrize("mixed", [".mean(0, keepdim=True).expand_as(query)", ".flip(1)", ".sum(0, keepdim=True)"])
def test_one_by_one_hides_no_mixture_of_examples_or_heads(workshop: Workshop, mixed: str) -> None:
    source = SQUARE.replace("scores.softmax(-1) @ value", f"(scores.softmax(-1) @ value){mixed}")
    with pytest.raises(SubmissionError, match="mask must be"):
        fitted(workshop, source)


def test_a_function_of_four_dimensions_fails_with_four(workshop: Workshop) -> None:
    source = '''
def attention(query, key, value, mask=None):
    """query, key, value: (batch, num_heads, seq, head_dim)."""
    scores = query @ key.T / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value
'''
    with pytest.raises(SubmissionError, match="takes four dimensions") as caught:
        fitted(workshop, source)
    assert ".transpose(-2, -1)" in caught.value.remedy
    # The same without the promise works on matrices.
    assert is_right(fitted(workshop, source.replace("(batch, num_heads, seq, head_dim)", "matrices")), 1)


CONSTANTS = textwrap.dedent(
    """
    import torch
    from torch import nn

    WIDTH, HEADS = 64, 4

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            batch_size, length, _ = x.shape
            split = lambda tensor: tensor.view(batch_size, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            query, key, value = map(split, self.qkv(x).chunk(3, dim=-1))
            scores = query @ key.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
            return self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch_size, length, WIDTH))
    """
)


@pytest.mark.parametrize("name", ["N_HEADS", "num_heads", "HEADS", "n_head"])
def test_the_number_of_heads_may_be_a_constant_of_the_file(workshop: Workshop, name: str) -> None:
    attention = fitted(workshop, CONSTANTS.replace("HEADS", name), name="Attention")
    assert "one-head" not in names_of(attention)
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["one-token"], seed=1))
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["unpadded"], seed=1))


def test_a_constant_that_the_class_does_not_use_says_nothing(workshop: Workshop) -> None:
    source = CONSTANTS.replace("HEADS", "PARTS").replace("WIDTH, PARTS = 64, 4", "WIDTH, PARTS, N_HEADS = 64, 1, 8")
    attention = fitted(workshop, source, name="Attention")
    assert "one-head" in names_of(attention)
    assert is_right_on(attention, build_probe(SPEC_BY_NAME["unpadded"], seed=1))
