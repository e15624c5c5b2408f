"""The page of the gradebook: how the class did, which mistakes are common, and a row for each submission."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pytest_attn_grader.cli.grade.gradebook_rows import GradebookRow
from pytest_attn_grader.cli.grade.look_alikes import find_look_alikes
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.page_templates import make_environment, read_script

TEMPLATES = Path(__file__).parent / "templates"
MAX_SLOWEST = 5
_BINS = 10


@dataclass(frozen=True)
class CommonMistake:
    """A mistake, the rows that have it, and the text of `attn-grader explain`."""

    slug: str
    title: str
    rows: tuple[GradebookRow, ...]
    explanation: str


def render_page(rows: Sequence[GradebookRow]) -> str:
    """Render the page: one file that opens offline. Only its own script can run."""
    shares = [row.share for row in rows if row.share is not None]
    bins = Counter(min(int(share * _BINS), _BINS - 1) for share in shares)
    mistakes = _common_mistakes(rows)
    return (
        make_environment(TEMPLATES)
        .get_template("gradebook.html.j2")
        .render(
            # Rows with a flag first; sorting is stable, so both parts stay in natural order.
            rows=sorted(rows, key=lambda row: not row.flags),
            natural_place={row.id: place for place, row in enumerate(rows)},
            flagged=sum(bool(row.flags) for row in rows),
            has_names=any(row.student for row in rows),
            has_notes=any(row.notes for row in rows),
            verdicts=Counter(row.verdict for row in rows),
            median=median(shares) if shares else None,
            bins=[bins[number] for number in range(_BINS)],
            mistakes=mistakes,
            titles={mistake.slug: mistake.title for mistake in mistakes},
            slowest=sorted((row for row in rows if row.seconds), key=lambda row: -row.seconds)[:MAX_SLOWEST],
            look_alikes=find_look_alikes(rows),
            style=(TEMPLATES / "gradebook.css").read_text(encoding="utf-8"),
            **read_script(TEMPLATES / "gradebook.js"),
        )
    )


def _common_mistakes(rows: Sequence[GradebookRow]) -> list[CommonMistake]:
    """The mistakes of the class, the most frequent first."""
    by_slug: dict[str, list[GradebookRow]] = defaultdict(list)
    titles: dict[str, str] = {}
    for row in rows:
        diagnosis = None if row.report is None else row.report.diagnosis
        if diagnosis is not None:
            titles |= dict(zip(diagnosis.slugs, diagnosis.titles, strict=False))
        for slug in row.mistakes:
            by_slug[slug].append(row)
    ordered = sorted(by_slug.items(), key=lambda each: (-len(each[1]), each[0]))
    return [CommonMistake(slug, titles.get(slug, slug), tuple(who), _explain(slug)) for slug, who in ordered]


def _explain(slug: str) -> str:
    """The explanation of a mistake; empty when this version does not know it."""
    from pytest_attn_grader.misconceptions import explain

    try:
        return explain(slug)
    except UsageError:
        return ""
