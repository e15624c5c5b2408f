"""Converting a module: what its buffers hold survives."""

from __future__ import annotations

import torch
from torch import nn

from pytest_attn_grader.submission.worker.module_dtype import convert


class Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        angles = torch.linspace(0.1, 3.0, 7)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("freqs_cis", torch.polar(torch.ones(7), angles), persistent=False)
        self.register_buffer("count", torch.tensor(3))


def test_a_table_is_the_same_after_a_narrower_dtype() -> None:
    module = Tables()
    cos, freqs_cis = module.get_buffer("cos").clone(), module.get_buffer("freqs_cis").clone()
    convert(module, torch.bfloat16)
    assert module.linear.weight.dtype == module.get_buffer("cos").dtype == torch.bfloat16
    assert torch.equal(module.get_buffer("freqs_cis"), freqs_cis)
    convert(module, torch.float32)
    assert torch.equal(module.get_buffer("cos"), cos)
    assert module.get_buffer("count").dtype == torch.int64
    convert(module, torch.float64)
    assert module.get_buffer("freqs_cis").dtype == torch.complex128


def test_what_the_module_wrote_since_is_kept() -> None:
    module = Tables()
    convert(module, torch.bfloat16)
    module.get_buffer("cos").fill_(0.5)
    convert(module, torch.float32)
    assert module.get_buffer("cos").unique().tolist() == [0.5]
