"""The way back: whatever leaves autograd's graph does not learn."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


@misconception(
    "AG601",
    "q-data",
    replaces="prepare",
    family="grad",
    look_alikes=("tolist",),
    variants=tuple(
        StageOverride.of_tensors(Tensor.detach, *names) for names in (("key",), ("value",), ("key", "value"))
    ),
)
def q_data(inputs: Inputs) -> Inputs:
    """cuts one of its inputs off from the gradient with .data or .detach().

    .data and .detach() give the same numbers without their history. The forward pass is exact, but on the way back the
    gradient stops there, and the projection that made this input never learns.

    Bad:
        query = query.data
    Good:
        query = query

    Effect: Results are right; a part of the model stays as it was initialised.
    Nudge: Which of query, key and value has a gradient, and which has none?
    Fix: Remove .data, .detach(), torch.tensor(...) and no_grad from the computation.
    """
    return inputs.changed(Tensor.detach, ("query",))


@misconception(
    "AG602",
    "weights-detached",
    replaces="combine",
    family="grad",
    look_alikes=("numpy-roundtrip",),
)
def weights_detached(attn_weights: Tensor, inputs: Inputs) -> Tensor:
    """detaches the attention weights before the product with the values.

    The output is the same, but seen from behind the weights are constants: only the value gets a gradient. Query and
    key learn nothing, so the model never learns where to look.

    Bad:
        attn_output = attn_weights.detach() @ value
    Good:
        attn_output = attn_weights @ value

    Effect: Results are right; attention patterns stay random for ever.
    Nudge: query and key get no gradient, value does. What lies between them and the output?
    Fix: Remove the .detach(); detach only copies that you log or plot.
    """
    return attn_weights.detach() @ inputs.value


@misconception("AG603", "no-grad", replaces="finish", family="grad", look_alikes=("numpy-roundtrip",))
def no_grad(attn_output: Tensor, _: Inputs) -> Tensor:
    """computes everything without gradients (torch.no_grad, or .detach() on the result).

    Inside torch.no_grad() PyTorch keeps no history. That is right for an evaluation loop outside; inside the
    attention it means that nothing before this layer can ever learn through it.

    Bad:
        with torch.no_grad():
            attn_output = attn_weights @ value
    Good:
        attn_output = attn_weights @ value

    Effect: Results are right; no gradient passes this layer.
    Nudge: Does your output have a grad_fn?
    Fix: Remove torch.no_grad, inference_mode and .detach() from the attention; callers use them when they evaluate.
    """
    return attn_output.detach()


def _cuts_off_weights(case: SubmissionObservations) -> Recognition | None:
    """The source reads weights without their history, and an input, which comes out of them, gets no gradient."""
    missing = {
        (name, each)
        for name in case.eval_probes()
        for each, gradient in case.attempts[name].gradients.items()
        if gradient is None and case.attempts[name].gradient_failure is None
    }
    if not missing or not case.source.cuts_off_weights():
        return None
    names = sorted({each for _, each in missing}, key=INPUT_NAMES.index)
    evidence = f"no gradient reaches {' and '.join(names)}, and the file takes weights with .data or .detach()"
    return Recognition(frozenset(name for name, _ in missing), evidence, frozenset(names))


@misconception(
    "AG607",
    "parameter-detached",
    replaces="finish",
    family="grad",
    by_numbers=False,
    recognise=_cuts_off_weights,
)
def parameter_detached(attn_output: Tensor, _: Inputs) -> Tensor:
    """uses the weights of a layer without their gradient (weight.data, weight.detach()).

    weight.data gives the numbers of a parameter without their history. The output is exact, and the gradient goes on
    to the hidden states; the layer itself gets none and stays as it was initialised.

    Bad:
        query = F.linear(hidden_states, self.q_proj.weight.data)
    Good:
        query = self.q_proj(hidden_states)

    Effect: Results are right; the optimiser never changes this layer.
    Nudge: Which parameters have a .grad of None after the backward pass?
    Fix: Call the layer itself, or pass self.q_proj.weight without .data.
    """
    return attn_output.detach()


def _mixes_numpy_in(case: SubmissionObservations) -> Recognition | None:
    """A call that numpy cannot take part in raises, with a gradient, in bfloat16 and beside a tensor differently."""
    found = [
        case.raised("call numpy() on Tensor that requires grad", "it calls .numpy() on a tensor that needs a gradient"),
        case.raised("numpy.ndarray", "one operation gets an array of numpy and a tensor"),
        case.raised("unsupported ScalarType", ""),
    ]
    seen = [each for each in found if each is not None]
    if not seen or seen == found[-1:]:
        return None
    return replace(seen[0], probes=frozenset().union(*(each.probes for each in seen)))


def _through_numpy(attn_scores: Tensor, _: Inputs) -> Tensor:
    exponentials = torch.from_numpy(attn_scores.detach().cpu().numpy()).exp()
    return (exponentials / exponentials.sum(dim=-1, keepdim=True)).to(attn_scores.device)


def _softmax_in_float32(attn_scores: Tensor, _: Inputs) -> Tensor:
    weights = torch.from_numpy(attn_scores.detach().float().cpu().numpy()).softmax(dim=-1)
    return weights.to(attn_scores)


def _output_in_float32(attn_output: Tensor, _: Inputs) -> Tensor:
    return torch.from_numpy(attn_output.detach().float().cpu().numpy()).to(attn_output)


def _there_and_back(tensor: Tensor) -> Tensor:
    return torch.from_numpy(tensor.detach().cpu().numpy()).to(tensor.device)


@misconception(
    "AG604",
    "numpy-roundtrip",
    replaces="finish",
    family="grad",
    probe="bfloat16",
    look_alikes=("weights-detached", "no-grad"),
    variants=(
        StageOverride({"normalise": lambda scores, _: _there_and_back(scores.softmax(dim=-1))}, "the softmax"),
        StageOverride({"normalise": _through_numpy}, "a softmax without subtracting the largest score"),
        StageOverride.of_tensors(_there_and_back, "query", note="the query"),
        StageOverride({"normalise": _softmax_in_float32}, "the softmax, in float32"),
        StageOverride({"finish": _output_in_float32}, "all of it, in float32"),
    ),
    recognise=_mixes_numpy_in,
    shown_by=lambda source: source.imports("numpy") or source.calls("numpy", "from_numpy", "asarray"),
    only_shown=True,
)
def numpy_roundtrip(attn_output: Tensor, _: Inputs) -> Tensor:
    """computes a part with numpy.

    numpy knows nothing of gradients, of GPUs or of bfloat16. A tensor that needs a gradient refuses to become an array;
    detached it agrees, and then nothing behind it learns.

    Bad:
        exponentials = np.exp(attn_scores.detach().numpy())
    Good:
        exponentials = torch.exp(attn_scores)

    Effect: Right numbers on a CPU in float32; no gradients, and exceptions elsewhere.
    Nudge: Does every line stay within torch?
    Fix: Use torch's function of the same name: torch.exp, torch.sqrt, torch.softmax.
    """
    return _there_and_back(attn_output)


def _through_list(tensor: Tensor) -> Tensor:
    return torch.tensor(tensor.tolist())


@misconception(
    "AG605",
    "tolist",
    replaces="prepare",
    family="grad",
    probe="bfloat16",
    look_alikes=("q-data",),
    variants=(
        *(StageOverride.of_tensors(_through_list, *names) for names in (("key",), ("value",), INPUT_NAMES)),
        StageOverride({"finish": lambda attn_output, _: torch.tensor(attn_output.tolist())}, "the output"),
        StageOverride({"normalise": lambda scores, _: torch.tensor(scores.softmax(dim=-1).tolist())}, "the weights"),
    ),
    shown_by=lambda source: source.calls("tolist", "item"),
)
def tolist(inputs: Inputs) -> Inputs:
    """turns a tensor into a list and back: torch.tensor(x.tolist()).

    A Python list holds plain numbers: no history, no device, no dtype. The new tensor has the same values in float32,
    on the CPU, and no gradient reaches the tensor it was made of.

    Bad:
        query = torch.tensor(query.tolist())
    Good:
        query = query

    Effect: Right numbers; no gradient, slow, and exceptions on a GPU or in bfloat16.
    Nudge: Which of query, key and value has a gradient, and which has none?
    Fix: Work with the tensors themselves: slices, loops and torch functions keep the history.
    """
    return inputs.changed(_through_list, ("query",))
