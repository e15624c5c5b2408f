"""Requirements on a module's steps: no norms where the model has none, its rotation after them, and a used output."""

from __future__ import annotations

import ast

from pytest_attn_grader.attention.probes import SPEC_BY_NAME, without_gradients
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.misconceptions.source import SubmissionSource
from pytest_attn_grader.misconceptions.syntax import name_of
from pytest_attn_grader.submission.module_attention import ModuleAttention
from pytest_attn_grader.submission.parameter_names import TABLES
from pytest_attn_grader.submission.parameter_traces import find_unused_parameters
from pytest_attn_grader.submission.rotary import mentions_rotary_positions
from pytest_attn_grader.submission.student_attention import StudentAttention
from pytest_attn_grader.submission.trials import TRIAL_SIZES, is_right_on


def require_no_norms(attention: StudentAttention | None, seed: int) -> None:
    """Say so when normalisation layers are what makes a module differ: a model's attention has no place for them."""
    if not isinstance(attention, ModuleAttention) or attention.contract.kind != "module":
        return
    if attention.preparation is not None:
        return  # the model's layer has such norms, and the checks say what is wrong with these
    # Without padding, as it may mask by itself.
    probe = without_gradients(attention.make_probe(SPEC_BY_NAME["unpadded"], seed=seed))
    if is_right_on(attention, probe):
        return
    others = attention.oracle.shape_for(*TRIAL_SIZES).others
    norms = [name for name in others if "norm" in name.lower() or ".ln" in f".{name.lower()}"]
    if norms:
        of_what = " of query and key" if attention.oracle.shape_for(*TRIAL_SIZES).norms is not None else ""
        raise SubmissionError(
            "no-target",
            f"{attention.contract.candidate.name} has parameters that the model's attention does not have: "
            f"{', '.join(norms)}. With them its output differs from the attention of the formula.",
            remedy=f"Leave the normalisation{of_what} out, or make it an option that is off by default.",
        )


def require_output_projection(attention: ModuleAttention) -> None:
    """Refuse a module that has an output projection and does not apply it: inside a model its heads are never mixed."""
    contract, shape = attention.contract, attention.oracle.shape_for(*TRIAL_SIZES)
    output = shape.output
    if contract.kind != "module" or output is None or shape.width is None:
        return
    unused = find_unused_parameters(attention.student, contract, shape.target, shape.width)
    inputs = {place.weight for places in shape.inputs.values() for place in places}
    if output.weight in unused and not inputs & unused:
        raise SubmissionError(
            "malformed-reply",
            f"{contract.candidate.name} has an output projection ({output.weight}), and "
            "its output does not depend on it.",
            remedy="Apply the output projection to the heads side by side, and return that.",
        )


def _rotating_calls(source: SubmissionSource, class_name: str) -> list[str]:
    """List the calls by names of rotary positions in the methods of a class, but for its constructor."""
    classes = [node for node in source.nodes if isinstance(node, ast.ClassDef)]
    return sorted(
        {
            ast.unparse(call.func)
            for one in classes
            for method in one.body
            if one.name == class_name and getattr(method, "name", "__init__") != "__init__"
            for call in ast.walk(method)
            if isinstance(call, ast.Call) and mentions_rotary_positions(name_of(call.func))
        }
    )


def require_rotation(attention: StudentAttention, rotary_base: float | None, seed: int) -> StudentAttention:
    """Refuse a module whose rotation is missing: after its norm, or altogether although it is made or passed in.

    What is rotated already cannot be normalised once more. A module without a word of rotary positions is given rotated
    query and key; one that has them and leaves them out has forgotten them.
    """
    if rotary_base is None or not isinstance(attention, ModuleAttention):
        return attention
    if attention.conventions.rotation is not None:
        return attention
    preparation, contract = attention.preparation, attention.contract
    tables = [slot.parameter for slot in contract.slots if slot.role in TABLES]
    source = attention.student.target.source
    unused = [f"self.{name}" for name in source.unused_layers() if mentions_rotary_positions(name)]
    named = tables or unused or _rotating_calls(source, contract.candidate.name)
    if preparation is None and not named:
        return attention
    probe = without_gradients(attention.make_probe(SPEC_BY_NAME["unpadded"], seed=seed))
    if not is_right_on(attention, probe):
        return attention  # the checks will say what is wrong
    if preparation is None:
        raise SubmissionError(
            "malformed-reply",
            f"{contract.candidate.name} has rotary positions ({', '.join(named)}), and its output does not "
            "depend on positions.",
            remedy="Rotate query and key by their positions before the scores are computed.",
        )
    raise SubmissionError(
        "no-target",
        f"{contract.candidate.name} normalises query and key and does not rotate them. The model's layer normalises "
        "them first and rotates them then, so that a module can do both or neither.",
        remedy="Rotate query and key by their positions after the norm, or leave the norm out.",
    )
