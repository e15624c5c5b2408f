"""Write the plots of a report as PNG and SVG, without a window system."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pytest_attn_grader.reports.plots.bars import plot_drift, plot_next_tokens
from pytest_attn_grader.reports.plots.heatmaps import plot_head, plot_head_grid
from pytest_attn_grader.results.report import GradeReport

FORMATS = ("png", "svg")
PIXELS_PER_INCH = 160


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure in the format of the path's suffix; the same figure always gives the same bytes."""
    path = Path(path)
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    # Letters as paths: the plot looks the same where the font is missing, and tokens never become markup.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "attn-grader"}):
        figure.savefig(path, dpi=PIXELS_PER_INCH, metadata=metadata)


def draw_figures(report: GradeReport) -> dict[str, Figure]:
    """Draw the plots of a report, by name; none when the report has no comparison."""
    compared = report.comparison
    if compared is None:
        return {}
    layer = compared.layer_idx
    maps = [each for each in compared.maps if each.layer == layer]
    tokens = report.prompt.tokens[: len(maps[0].reference)]
    worst = compared.worst_map
    figures = {
        "heads": plot_head_grid(
            [each.reference for each in maps],
            [each.student for each in maps],
            tokens,
            title=f"Layer {layer}, every head",
        ),
        "head": plot_head(
            worst.reference,
            worst.student,
            tokens,
            title=f"Layer {layer}, head {worst.head}: the one that differs most",
        ),
        "next_tokens": plot_next_tokens(
            [(each.token, float(each.probability)) for each in compared.predictions.reference],
            [(each.token, float(each.probability)) for each in compared.predictions.student],
            title=f"What comes after “{report.prompt.text[:60]}”",
        ),
    }
    if compared.residual_drift:
        figures["drift"] = plot_drift(
            compared.residual_drift, layer_idx=layer, title="How far the residual stream drifts"
        )
    return figures


def write_plots(report: GradeReport, folder: Path) -> tuple[Path, ...]:
    """Write every plot of a report as PNG and SVG; no folder is made when there is nothing to draw."""
    written = []
    for name, figure in draw_figures(report).items():
        folder.mkdir(parents=True, exist_ok=True)
        for ending in FORMATS:
            path = folder / f"{name}.{ending}"
            save_figure(figure, path)
            written.append(path)
    return tuple(written)
