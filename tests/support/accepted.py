"""The corpus of right submissions: what there is, of which kind, and in which style."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pytest_attn_grader.model_utils import replace_attention_mechanism
from pytest_attn_grader.submission.student import Student
from pytest_attn_grader.submission.target import find_target
from tests.support.students import CALL_SECONDS

if TYPE_CHECKING:
    from torch import Tensor

    from tests.support.students import Workshop

ACCEPTED = Path(__file__).parents[1] / "submissions" / "accepted"
KINDS = ("function", "projected", "module", "narrow")
# Submissions of several files: which one is handed in.
SEVERAL_FILES = {
    "projected/with_helpers": "homework.py",
    "module/src_layout": "src/transformer/attention.py",
    "module/broken_package": "model/attention.py",
    "narrow/package": "tiny/layer.py",
}


@dataclass(frozen=True)
class Style:
    """One submission of the corpus.

    Attributes:
        name: its place in the corpus, without suffix.
        file: what is handed in.
        chosen: the name after the colon, where the file has several things to grade.
        description: one sentence, the submission's own first line.
    """

    kind: str
    name: str
    file: Path
    chosen: str | None
    description: str

    @property
    def typed(self) -> str:
        """What stands after ``--attn-student=``."""
        return str(self.file) if self.chosen is None else f"{self.file}:{self.chosen}"

    @property
    def has_several_files(self) -> bool:
        return self.file.parent.name != self.kind


def styles() -> list[Style]:
    """Every submission of the corpus, by kind and name."""
    found = []
    for kind in KINDS:
        for place in sorted((ACCEPTED / kind).iterdir()):
            name = f"{kind}/{place.stem}"
            if place.suffix in {".py", ".ipynb"}:
                found.append(_style(kind, name, place))
            elif name in SEVERAL_FILES:
                found.append(_style(kind, name, place / SEVERAL_FILES[name]))
    return found


def _style(kind: str, name: str, file: Path) -> Style:
    text = file.read_text(encoding="utf-8")
    chosen = re.search(r"# chosen with :(\w+)", text)
    return Style(kind, name, file, None if chosen is None else chosen[1], _description(file, text))


def _description(file: Path, text: str) -> str:
    if file.suffix == ".ipynb":
        cell = next(cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
        return "".join(cell["source"]).strip().splitlines()[-1]
    said = ast.get_docstring(ast.parse(text))
    assert said, f"{file} does not say what is its style"
    return said.splitlines()[0]


@contextmanager
def student_of(style: Style, workshop: Workshop) -> Iterator[Student]:
    """The submission in the shared worker; one of several files has a root, and so a worker, of its own."""
    if not style.has_several_files:
        source = style.file.read_text(encoding="utf-8")
        student = workshop.student(source, name=style.chosen, suffix=style.file.suffix)
        student.is_causal = True
        yield student
        return
    student = Student(find_target(style.typed, style.file.parent), call_seconds=CALL_SECONDS, tier="auto")
    student.is_causal = True
    try:
        yield student
    finally:
        student.close()


def both_models(attention: Any, model: Any, layer_idx: int = 0) -> tuple[Any, Any]:
    """The model with the reference, under the submission's restrictions if it has any, and with the submission."""
    reference = attention.reference_as_layer(model, layer_idx)
    with_reference = model if reference is None else replace_attention_mechanism(model, reference, layer_idx)
    return with_reference, replace_attention_mechanism(model, attention.for_layer(model, layer_idx), layer_idx)


def spread_of(model: Any, input_ids: Tensor) -> float:
    """How far the model's own float32 logits are from its float64 logits."""
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(input_ids=input_ids).logits
        return float((model(input_ids=input_ids).logits.double() - exact).abs().max())
