"""By how much each mistake changes a model's loss on held-out text, in each layer by itself and in all layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_attn_grader.grading.held_out_text import (
    MAX_HELD_OUT_TEXTS,
    evaluate_passage,
    held_out_passages,
    mean_loss,
)
from pytest_attn_grader.grading.layer_effect import uniform_attention
from pytest_attn_grader.misconceptions import find_misconception
from pytest_attn_grader.model_utils import patched_model
from pytest_attn_grader.results.comparison import ROUNDING_NATS
from pytest_attn_grader.settings.options import DEFAULT_THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pytest_attn_grader.models.types import LoadedModel

ALL = "all"


@dataclass(frozen=True)
class LayerLosses:
    """Changes of the loss, in nats a token.

    Attributes:
        layer: the layer that is replaced, or "all".
        effect: by how much uniform attention changes the loss, without its sign.
        changes: by slug of the mistake.
    """

    layer: int | str
    effect: float
    changes: dict[str, float]

    @property
    def limit(self) -> float:
        """What `behaviour.loss` allows here."""
        return max(DEFAULT_THRESHOLDS["loss_share"] * self.effect, ROUNDING_NATS)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The mistakes that do not matter to the loss here."""
        return tuple(slug for slug, change in self.changes.items() if abs(change) <= self.limit)


def measure_loss(loaded: LoadedModel, layers: Sequence[int] = (), attention: Callable[..., Any] | None = None) -> float:
    """The mean loss on the held-out texts, with another attention in these layers."""
    passages = held_out_passages(loaded)[:MAX_HELD_OUT_TEXTS]
    model = loaded.model if attention is None else patched_model(loaded.model, dict.fromkeys(layers, attention))
    return mean_loss([evaluate_passage(model, input_ids) for input_ids in passages])


def measure_losses(
    loaded: LoadedModel, slugs: Sequence[str], chosen: Iterable[int | str] | None = None
) -> Iterator[LayerLosses]:
    """Measure each mistake in each layer.

    Args:
        chosen: the layers, or "all"; by default each one by itself and then all together.
    """
    count = int(loaded.model.config.num_hidden_layers)
    own = measure_loss(loaded)
    for layer in (*range(count), ALL) if chosen is None else chosen:
        layers = tuple(range(count)) if isinstance(layer, str) else (layer,)
        effect = abs(measure_loss(loaded, layers, uniform_attention) - own)
        changes = {slug: measure_loss(loaded, layers, find_misconception(slug).attention) - own for slug in slugs}
        yield LayerLosses(layer, effect, changes)


def render_losses(measured: Sequence[LayerLosses]) -> str:
    """The table of the guide: for each mistake the smallest and the largest change, and where it is not seen."""
    lines = [
        "| mistake | smallest change | largest change | all layers | too small to matter in |",
        "|---|---:|---:|---:|---|",
    ]
    single = [each for each in measured if each.layer != ALL]
    everywhere = next((each for each in measured if each.layer == ALL), None)
    for slug in measured[0].changes:
        by_size = sorted(single, key=lambda each: abs(each.changes[slug]))
        small, large = by_size[0], by_size[-1]
        unseen = ", ".join(f"layer {each.layer}" for each in single if slug in each.unseen) or "no layer"
        lines.append(
            f"| {slug} | {small.changes[slug]:+.4f} (layer {small.layer}) | {large.changes[slug]:+.3f} (layer "
            f"{large.layer}) | {'' if everywhere is None else format(everywhere.changes[slug], '+.3f')} | {unseen} |"
        )
    return "\n".join(lines)
