"""Number formats and devices other than float32 on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, unchanged


def _mixes_devices(case: SubmissionObservations) -> Recognition | None:
    return case.raised(
        "Expected all tensors to be on the same device", "it makes a tensor on the CPU and mixes it with others"
    )


@misconception(
    "AG918",
    "float32-mixed-in",
    replaces="reweigh",
    family="dtype",
    probe="bfloat16",
    look_alikes=("cpu-scale-tensor", "float-mask-promote", "upcast-not-back"),
    variants=(
        StageOverride({"finish": lambda output, _: output + torch.zeros(output.shape)}, "the output is added to it"),
    ),
    shown_by=lambda source: source.makes_float_tables() or source.fills_a_new_tensor(),
)
def float32_mixed_in(attn_weights: Tensor, _: Inputs) -> Tensor:
    """mixes a float32 tensor with inputs of another dtype.

    A table, a buffer or a constant that the code makes is float32 unless it is given a dtype. Together with bfloat16
    inputs the result is float32, and the next product with a bfloat16 tensor fails. Tables of sines and cosines, the
    sums and outputs that a loop adds up, masks and scale factors are the usual ones.

    Bad:
        query = query * cos + rotate_half(query) * sin
    Good:
        query = query * cos.to(query.dtype) + rotate_half(query) * sin.to(query.dtype)

    Effect: Fine in float32; an exception in bfloat16, the format most models run in.
    Nudge: Which of your tensors does not get its dtype from the inputs?
    Fix: Cast the table or constant with .to(query.dtype) where it meets an input.
    """
    return attn_weights * torch.ones(attn_weights.shape[-1])


@misconception(
    "AG911",
    "cpu-scale-tensor",
    replaces="scale",
    family="dtype",
    probe="bfloat16",
    look_alikes=("float-mask-promote", "upcast-not-back", "float32-mixed-in"),
    recognise=_mixes_devices,
    shown_by=lambda source: source.makes_scale_tensor(),
)
def cpu_scale_tensor(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """divides by a new float32 tensor instead of a plain number.

    torch.tensor([64.0]) is a float32 tensor on the CPU, wherever the scores are. In a bfloat16 model the division
    turns the scores into float32, and the product with the bfloat16 values fails; on a GPU the devices do not fit. A
    Python number has neither dtype nor device and fits everywhere.

    Bad:
        attn_scores = attn_scores / torch.sqrt(torch.Tensor([head_dim]))
    Good:
        attn_scores = attn_scores / math.sqrt(head_dim)

    Effect: Fine in float32 on a CPU; an exception in bfloat16 and on a GPU.
    Nudge: Which of your tensors does not get its dtype and device from the inputs?
    Fix: Use math.sqrt(head_dim) or head_dim ** 0.5.
    """
    return attn_scores / torch.sqrt(torch.tensor([inputs.root**2]))


@misconception(
    "AG912",
    "float-mask-promote",
    replaces="mask",
    family="dtype",
    probe="bfloat16",
    look_alikes=("cpu-scale-tensor", "upcast-not-back", "float32-mixed-in"),
    shown_by=lambda source: (
        source.makes_float_mask() and not (source.makes_scale_tensor() or source.fills_a_new_tensor())
    ),
)
def float_mask_promote(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """adds a float32 mask to scores of another dtype.

    torch.full and torch.zeros make float32 tensors unless given a dtype. Added to bfloat16 scores the sum becomes
    float32, and the product with the bfloat16 values fails: "expected scalar type".

    Bad:
        attn_scores = attn_scores + torch.triu(torch.full((seq, seq), float("-inf")), diagonal=1)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Fine in float32; an exception in bfloat16, the format most models run in.
    Nudge: Which dtype does your mask have when the query is bfloat16?
    Fix: Use masked_fill, or make the mask with dtype=query.dtype, device=query.device.
    """
    additive_mask = torch.zeros(inputs.keep_mask.shape)
    return attn_scores + additive_mask.masked_fill(~inputs.keep_mask, float("-inf"))


@misconception(
    "AG916",
    "upcast-not-back",
    replaces="normalise",
    family="dtype",
    probe="bfloat16",
    look_alikes=("cpu-scale-tensor", "float-mask-promote", "float32-mixed-in"),
    variants=(
        StageOverride({"finish": lambda attn_output, _: attn_output.float()}, "the output"),
        StageOverride({"finish": lambda attn_output, _: attn_output.double()}, "the output in float64"),
        StageOverride({"combine": lambda weights, inputs: weights.float() @ inputs.value.float()}, "weights and value"),
    ),
    shown_by=lambda source: source.casts_up(),
)
def upcast_not_back(attn_scores: Tensor, _: Inputs) -> Tensor:
    """computes in float32 or float64 and does not cast the result back to the dtype of the query.

    A softmax in float32 is good practice. But its result is float32, and the product with bfloat16 values raises
    "expected scalar type"; or the output comes back as float32 and the next layer cannot use it.

    Bad:
        attn_weights = F.softmax(attn_scores, dim=-1, dtype=torch.float32)
    Good:
        attn_weights = F.softmax(attn_scores, dim=-1, dtype=torch.float32).to(query.dtype)

    Effect: Fine in float32; an exception or another dtype in bfloat16, the format most models run in.
    Nudge: Which dtype do your weights and your output have when the query is bfloat16?
    Fix: End with .to(query.dtype).
    """
    return attn_scores.softmax(-1, dtype=torch.float32)


def _half_scores(inputs: Inputs, *, dtype: torch.dtype = torch.float16) -> Tensor:
    return inputs.query.to(dtype) @ inputs.key.to(dtype).transpose(-2, -1)


def _bfloat16_scores(inputs: Inputs) -> Tensor:
    return _half_scores(inputs, dtype=torch.bfloat16).to(inputs.query.dtype)


def _all_in_bfloat16(inputs: Inputs) -> Inputs:
    return inputs.changed(Tensor.bfloat16)


def _softmax_in_half(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.half().masked_fill(~inputs.keep_mask, float("-inf")).softmax(-1).to(inputs.query.dtype)


def _softmax_in_bfloat16(attn_scores: Tensor, _: Inputs) -> Tensor:
    return attn_scores.bfloat16().softmax(-1).to(attn_scores.dtype)


def _all_in_half(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.half().masked_fill(~inputs.keep_mask, float("-inf")).softmax(-1)


def _values_in_half(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    return (attn_weights @ inputs.value.half()).to(inputs.query.dtype)


@misconception(
    "AG917",
    "half-precision-inside",
    replaces="score",
    family="dtype",
    probe="square",
    variants=(
        StageOverride({"score": _half_scores, "mask": unchanged, "normalise": _softmax_in_half}, "softmax too"),
        StageOverride(
            {"score": _half_scores, "mask": unchanged, "normalise": _all_in_half, "combine": _values_in_half},
            "everything",
        ),
        StageOverride({"mask": unchanged, "normalise": _softmax_in_half}, "the softmax"),
        StageOverride({"score": _bfloat16_scores}, "the scores in bfloat16"),
        StageOverride({"normalise": _softmax_in_bfloat16}, "the softmax in bfloat16"),
        StageOverride(
            {"prepare": _all_in_bfloat16, "finish": lambda attn_output, inputs: attn_output.float()}, "all in bfloat16"
        ),
    ),
)
def half_precision_inside(inputs: Inputs) -> Tensor:
    """computes the scores in float16 or bfloat16, although the inputs are float32.

    float16 holds about three decimal digits and nothing above 65504, bfloat16 about two digits. The scores lose what
    lies behind that, and so do the weights; for float32 inputs there is no reason to.

    Bad:
        attn_scores = query.half() @ key.half().transpose(-2, -1)
    Good:
        attn_scores = query @ key.transpose(-2, -1)

    Effect: Errors of about 0.001 in every weight, and infinity for large scores.
    Nudge: Which dtype do your scores have?
    Fix: Remove .half() and .to(torch.float16); the caller chooses the dtype.
    """
    return _half_scores(inputs).to(inputs.query.dtype)


_NO_ACCELERATOR = (
    "Torch not compiled with CUDA enabled",
    "Found no NVIDIA driver",
    "No CUDA GPUs are available",
    "not linked with support for mps devices",
    "The MPS backend is supported on",
    "not linked with support for xpu devices",
)


def _has_no_cuda(case: SubmissionObservations) -> Recognition | None:
    return case.raised_any(_NO_ACCELERATOR, "it asks for a GPU, and there is none here")


@misconception("AG913", "cuda-hard", replaces="mask", family="dtype", by_numbers=False, recognise=_has_no_cuda)
def cuda_hard(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """moves tensors to a GPU that is written into the code.

    Where a model runs is the caller's decision. A tensor that is made inside the attention belongs where the inputs
    are: device=query.device.

    Bad:
        keep = torch.tril(torch.ones(seq, seq)).cuda()
    Good:
        keep = torch.tril(torch.ones(seq, seq, device=query.device))

    Effect: An exception on every machine without a GPU, and on the second GPU of those with two.
    Nudge: Is "cuda" written anywhere in your code?
    Fix: Use device=query.device.
    """
    return attn_scores.masked_fill(~inputs.keep_mask.to(torch.device("cuda")), inputs.fill)


@misconception("AG914", "fp16-1e9", replaces="mask", family="dtype", probe="float16", counted=False)
def fp16_1e9(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """fills with -1e9, a number that float16 cannot hold.

    The smallest float16 number is -65504, and PyTorch refuses to fill with something smaller. In float32 and bfloat16
    -1e9 is fine, so this costs no points.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, -1e9)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, torch.finfo(attn_scores.dtype).min)

    Effect: An exception in float16; nothing elsewhere.
    Nudge: What is the smallest number of the dtype you compute in?
    Fix: Fill with float("-inf") or torch.finfo(attn_scores.dtype).min.
    """
    return attn_scores.masked_fill(~inputs.keep_mask, -1e9)


def _negates_numbers(case: SubmissionObservations) -> Recognition | None:
    return case.raised(
        "only implemented on integer and Boolean-type", "it uses ~ on a mask that holds floating-point numbers"
    )


@misconception(
    "AG915", "mask-dtype-only-bool", replaces="mask", family="dtype", by_numbers=False, recognise=_negates_numbers
)
def mask_dtype_only_bool(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """turns a mask round with ~ although it holds numbers.

    ~ negates True and False. For whole numbers it means something else (~1 is -2), and for floating-point numbers
    nothing at all. A mask that is declared "additive" holds 0 and very negative numbers, and is added.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))     # mask is floating point
    Good:
        attn_scores = attn_scores.masked_fill(mask == 0, float("-inf"))     # 0 = block, 1 = keep

    Effect: A TypeError as soon as the mask is not boolean.
    Nudge: Which dtype does the mask have where you negate it?
    Fix: Negate the mask while it is boolean, or compare: mask == 0.
    """
    return attn_scores.masked_fill(~inputs.keep_mask.to(attn_scores), inputs.fill)
