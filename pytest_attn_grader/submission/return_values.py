"""The return value of a student's function, as attn_output and attn_weights."""

from __future__ import annotations

from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.remote.messages import CallReply, ResultTree

_WANTED = "attn_output, or the tuple (attn_output, attn_weights)"
# Where a result that is a mapping or a named tuple keeps its parts.
_OUTPUT_KEYS = (
    "attn_output", "attention_output", "output", "out", "context", "context_layer", "hidden", "hidden_states",
    "last_hidden_state", "0",
)  # fmt: skip
# A module may keep its weights under one of these, too, instead of returning them.
WEIGHTS_KEYS = (
    "attn_weights", "attention_weights", "weights", "attn", "attention", "attentions", "attention_probs", "attn_probs",
    "probs", "p_attn", "pattern", "attn_map", "last_attention", "1",
)  # fmt: skip


SWAP_REMEDY = "Return the output first: return attn_output, attn_weights."


def parse_result(
    reply: CallReply, output_shape: tuple[int, ...] = (), weights_shape: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor | None]:
    """Parse the return value of a call into (attn_output, attn_weights or None).

    Args:
        output_shape, weights_shape: where they are known, they tell weights from keys and values that are returned as
            well, and a swapped order from a wrong shape.

    Raises:
        SubmissionError: `malformed-reply`, it is not a tensor or a tuple of tensors, or the order is swapped.
    """
    parts = _parts(reply.structure)
    tensors = [None if part is None else reply.tensors[part] for part in parts]
    output = tensors[0] if tensors else None
    shapes = [() if tensor is None else tuple(tensor.shape) for tensor in tensors[:2]]
    if len(shapes) == 2 and output_shape and weights_shape:
        _require_order(shapes[0], shapes[1], output_shape, weights_shape)
    if output is None:
        raise wrong_result(f"the function returned {_describe(reply.structure)}", f"Return {_WANTED}.")
    if not output.is_floating_point():
        raise wrong_result(
            f"attn_output is a tensor of {output.dtype}", "Return floating-point numbers, in the query's dtype."
        )
    weights = _weights_among(tensors[1:], output_shape, weights_shape)
    if weights is not None and not weights.is_floating_point():
        raise wrong_result(f"attn_weights is a tensor of {weights.dtype}", "Return the softmax of the scores.")
    return output, weights


def _require_order(
    first: tuple[int, ...], second: tuple[int, ...], output_shape: tuple[int, ...], weights_shape: tuple[int, ...]
) -> None:
    """Refuse weights, of all heads or without an axis of heads, that come before an output."""
    if second == output_shape != first and first[-2:] == weights_shape[-2:]:
        raise wrong_result(
            f"the order of the returned values is swapped: the first has the shape of the weights {first}, the second "
            f"value that of the output {second}",
            SWAP_REMEDY,
        )


def _weights_among(
    tensors: list[Tensor | None], output_shape: tuple[int, ...], weights_shape: tuple[int, ...]
) -> Tensor | None:
    """The tensor that has the shape of weights; a second one of another shape, unless it is a key or value."""
    for tensor in tensors:
        if tensor is not None and tuple(tensor.shape) == weights_shape:
            return tensor
    second = tensors[0] if tensors else None
    is_cache = second is not None and len(tensors) > 1 and tuple(second.shape) == output_shape
    return None if is_cache else second


def _parts(structure: ResultTree) -> list[str | None]:
    """Names of output and weights among the reply's tensors."""
    if structure.type == "tensor":
        return [structure.name]
    if structure.type in {"tuple", "list"}:
        return [item.name if item.type == "tensor" else None for item in structure.items]
    if structure.type == "dict":
        named = {
            key: item.name for key, item in zip(structure.keys, structure.items, strict=True) if item.type == "tensor"
        }
        output = next((named[key] for key in _OUTPUT_KEYS if key in named), None)
        weights = next((named[key] for key in WEIGHTS_KEYS if key in named), None)
        return [next(iter(named.values())) if output is None and len(named) == 1 else output, weights]
    return []


def _describe(structure: ResultTree) -> str:
    if structure.type == "none":
        return "None (is there a return statement on every path?)"
    if structure.type in {"tuple", "list"}:
        inside = ", ".join(item.text or item.type for item in structure.items[:4])
        return f"a {structure.type} of {len(structure.items)}: {inside}" if inside else f"an empty {structure.type}"
    if structure.type == "dict":
        return f"a dict with the keys {', '.join(structure.keys[:6])}"
    return structure.text or structure.type


def require_shape(what: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape.

    Raises:
        SubmissionError: `malformed-reply`, with both shapes.
    """
    if tuple(tensor.shape) != wanted:
        raise wrong_result(f"{what} has shape {tuple(tensor.shape)} instead of {wanted}", "See the checks of shape.")


def wrong_result(message: str, remedy: str) -> SubmissionError:
    """The student's fault: what came back cannot be used."""
    return SubmissionError("malformed-reply", message, remedy=remedy)
