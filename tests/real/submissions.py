"""Submissions that are put into real models: right ones of several kinds, and wrong ones with their mistake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.submission.test_rotary import module_source
from tests.support.accepted import ACCEPTED

WRONG = Path(__file__).parents[1] / "submissions" / "wrong"

REFERENCE = "reference"
RIGHT: dict[str, str] = {
    REFERENCE: (ACCEPTED / "function" / "tutorial.py").read_text(encoding="utf-8"),
    "module": (ACCEPTED / "module" / "torch_like.py").read_text(encoding="utf-8"),
    "grouped module": (ACCEPTED / "module" / "llama_like.py").read_text(encoding="utf-8"),
    "64-wide module": (ACCEPTED / "narrow" / "plain.py").read_text(encoding="utf-8"),
    "rotary module": module_source("halves"),
}


@dataclass(frozen=True)
class Mistake:
    """A wrong submission.

    Attributes:
        slug: the mistake that has to be named.
        file: the submission.
        lowers_the_loss: whether it reads what comes later, so that a lower loss is no success.
    """

    slug: str
    file: str
    lowers_the_loss: bool = False

    @property
    def source(self) -> str:
        return (WRONG / self.file).read_text(encoding="utf-8")


MISTAKES = (
    Mistake("no-scale", "no_scale_matmul.py"),
    Mistake("scale-dk", "scale_dk_division.py"),
    Mistake("scale-dmodel", "scale_dmodel_shape.py"),
    Mistake("no-causal-mask", "no_causal_mask_unused.py", lowers_the_loss=True),
    Mistake("mask-after-softmax", "mask_after_softmax_star.py"),
    Mistake("softmax-query-axis", "softmax_query_axis_dim2.py"),
    Mistake("k-for-v", "k_for_v_matmul.py"),
    Mistake("qk-swapped", "qk_swapped_order.py"),
    Mistake("diag-off-strict", "diag_off_strict_triu0.py"),
)
