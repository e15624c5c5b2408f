"""The results of tracing a submission's modules, kept for a run. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_attn_grader.submission.projections.custom_loader import LoaderMap

# The worker's generation, and the handle or name of an instance in it.
InstanceKey = tuple[int, str | int]


@dataclass
class ModuleTraces:
    """The results of calls that were made to find out how modules use their parameters.

    Attributes:
        unused_parameters: names of the parameters that no output depends on.
        loaders: the effects of a module's `load_projections`.
        num_heads: by the class and its arguments, how many heads form where no argument says it; None for one.
        widths: by a class that takes a width and no heads, a width at which it forms several, and how many; None where
            it forms one.
    """

    unused_parameters: dict[InstanceKey, frozenset[str]] = field(default_factory=dict)
    loaders: dict[InstanceKey, LoaderMap] = field(default_factory=dict)
    num_heads: dict[str, int | None] = field(default_factory=dict)
    widths: dict[str, tuple[int, int] | None] = field(default_factory=dict)
