"""The model with the student's attention in one layer or in all, and the model that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.model_utils import patched_model
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.results.submission import WidthAdapter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.submission.student_attention import StudentAttention


@dataclass(frozen=True)
class PatchedModels:
    """Both models of a comparison; each is made when first needed and shares its tensors with the original.

    Attributes:
        layers: which layers are replaced, from 0.
    """

    model: PreTrainedModel
    student: StudentAttention
    layers: tuple[int, ...]

    @cached_property
    def _in_place(self) -> dict[int, Any]:
        return {layer_idx: self.student.for_layer(self.model, layer_idx) for layer_idx in self.layers}

    @cached_property
    def student_model(self) -> PreTrainedModel:
        """The model with the student's attention."""
        patched: PreTrainedModel = patched_model(self.model, self._in_place)
        return patched

    @cached_property
    def reference_model(self) -> PreTrainedModel:
        """The model itself, unless the submission has no room for all of it.

        Then it is the model with the reference under the same restriction, through the same adapter.
        """
        references = {layer_idx: self.student.reference_as_layer(self.model, layer_idx) for layer_idx in self.layers}
        restricted = {layer_idx: each for layer_idx, each in references.items() if each is not None}
        return patched_model(self.model, restricted) if restricted else self.model

    @property
    def restriction(self) -> str | None:
        """The restriction of the submission that the reference is put under too; None when there is none."""
        found = (self.student.layer_restriction(self.model, layer_idx) for layer_idx in self.layers)
        return next((each for each in found if each is not None), None)

    def why_weights_unavailable(self, tokens: int) -> str | None:
        """Why the student's weights cannot be recovered on a text of so many tokens; None when they can."""
        heads = find_architecture(self.model).heads[0]
        return self.student.why_weights_unavailable(heads.num_heads, heads.head_dim, tokens)

    @property
    def width_adapter(self) -> WidthAdapter | None:
        """The width adapter of the layer in which most was lost; None when no layer has one."""
        adapters = [getattr(each, "width_adapter", None) for each in self._in_place.values()]
        return max((each for each in adapters if each is not None), key=lambda each: each.residual, default=None)
