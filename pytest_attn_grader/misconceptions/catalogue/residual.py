"""Steps of the block around the attention, done inside it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.block_steps import find_block_steps
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _normed(attn_output: Tensor, _: Inputs) -> Tensor:
    return F.layer_norm(attn_output, attn_output.shape[-1:])


@misconception(
    "AG414",
    "residual-inside",
    replaces="finish",
    family="wiring",
    recognise=lambda case: find_block_steps(case, residual=True),
    variants=(
        StageOverride({"finish": lambda attn_output, inputs: attn_output + inputs.value}, "the value"),
        StageOverride({"finish": lambda attn_output, inputs: attn_output + inputs.key}, "the key"),
        StageOverride(
            {"finish": lambda attn_output, inputs: _normed(attn_output + inputs.query, inputs)}, "and a LayerNorm"
        ),
    ),
)
def residual_inside(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """adds its input to the output (a residual connection inside the attention).

    The residual connection belongs to the block around the attention, which adds its own input to what the attention
    returns. Added inside too, it counts twice.

    Bad:
        return attn_output + query
    Good:
        return attn_output

    Effect: Right weights, and an output that carries the token's own vector once too often.
    Nudge: Which step follows the product of weights and value in your code?
    Fix: Return the product of weights and value; the block adds the rest.
    """
    return attn_output + inputs.query


@misconception(
    "AG415",
    "layernorm-inside",
    replaces="finish",
    family="wiring",
    recognise=lambda case: find_block_steps(case, residual=False),
)
def layernorm_inside(attn_output: Tensor, inputs: Inputs) -> Tensor:
    """normalises its output or its input (LayerNorm inside the attention).

    LayerNorm belongs to the block around the attention. On the output, it gives every vector mean 0 and variance 1, and
    what attention says by the size of its output is lost. On the input, it repeats what the block has done.

    Bad:
        return F.layer_norm(attn_output, attn_output.shape[-1:])
    Good:
        return attn_output

    Effect: Right weights, outputs of another size.
    Nudge: What are mean and variance of one output vector?
    Fix: Return the product of weights and value, and leave LayerNorm to the block.
    """
    return _normed(attn_output, inputs)
