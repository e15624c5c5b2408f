"""The work of `attn-grader explain --html OUT`: measure every mistake, then write the site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_attn_grader.cli.explain.measurements import measure_mistake
from pytest_attn_grader.cli.explain.site import write_site
from pytest_attn_grader.misconceptions import MISCONCEPTIONS
from pytest_attn_grader.models.load import load_model


def write_catalogue(out: Path, model: str, *, write_line: Callable[[str], object]) -> None:
    """Write the site of all mistakes.

    Raises:
        UngradableError: the model is not available.
        OSError: the folder or a file cannot be written.
    """
    loaded = load_model(model)
    measurements = {mistake.slug: measure_mistake(mistake, loaded) for mistake in MISCONCEPTIONS}
    write_site(out, MISCONCEPTIONS, measurements, model=loaded.used, write_line=write_line)
