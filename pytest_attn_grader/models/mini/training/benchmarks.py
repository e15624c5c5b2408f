"""The figures of the model card: a value each, with the bar it must reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# where figures and showcases of the shipped models are, by the model's name
MEASUREMENTS = Path(__file__).parent / "measurements"
FIGURES_FILE = "figures.json"


@dataclass(frozen=True)
class Figure:
    """One measured number; `note` says what belongs to it, such as which head it was."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the value is within its bars."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


def render_number(number: float) -> str:
    """Short bars stay short and large numbers stay whole."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:g}"


def render_table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| figure | measured | must be | met |", "|---|---:|---|---|"]
    for figure in figures:
        bars = [f"at least {render_number(figure.at_least)}"] if figure.at_least is not None else []
        bars += [f"at most {render_number(figure.at_most)}"] if figure.at_most is not None else []
        met = ("yes" if figure.is_met else "**no**") if bars else ""
        name = f"{figure.name} ({figure.note})" if figure.note else figure.name
        value = render_number(figure.value) if figure.value >= 1000 else f"{figure.value:.3f}"
        lines.append(f"| {name} | {value} | {', '.join(bars)} | {met} |")
    return "\n".join(lines)


def write_figures(figures: Sequence[Figure], folder: Path) -> None:
    """Write the figures as JSON into a folder."""
    text = json.dumps([asdict(figure) for figure in figures], indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES_FILE).write_text(text + "\n", encoding="utf-8")


def load_figures(folder: Path) -> dict[str, Figure]:
    """The figures in a folder by name."""
    figures = [Figure(**fields) for fields in json.loads((folder / FIGURES_FILE).read_text(encoding="utf-8"))]
    return {figure.name: figure for figure in figures}
