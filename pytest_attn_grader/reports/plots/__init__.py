"""Plots of attention, for notebooks and for graded runs: plain arrays in, a matplotlib `Figure` out.

    from pytest_attn_grader.reports.plots import plot_head, save_figure

    save_figure(plot_head(reference, student, tokens), "head.svg")

No module here uses pyplot or a window system. The colours are distinct with any colour vision and in grey: cividis for
weights, purple to orange around zero for differences.
"""

from pytest_attn_grader.reports.plots.bars import plot_drift, plot_next_tokens
from pytest_attn_grader.reports.plots.heatmaps import plot_head, plot_head_grid
from pytest_attn_grader.reports.plots.saving import save_figure, write_plots

__all__ = ["plot_head", "plot_head_grid", "plot_next_tokens", "plot_drift", "save_figure", "write_plots"]
