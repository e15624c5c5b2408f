"""The guides' generated tables: ``python -m tests.support.guide_tables`` writes styles and options again."""

from __future__ import annotations

from pathlib import Path

from pytest_attn_grader.settings.options import OPTIONS
from tests.support.accepted import KINDS, Style, styles

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / ".github" / "docs"
TITLES = {
    "function": "Functions of query, key and value",
    "projected": "Functions that are given their projections",
    "module": "Modules of any size",
    "narrow": "Modules of one size, 64 wide for instance",
}


def render_styles(found: list[Style]) -> str:
    """A table for each kind of submission; one line a style, in its own words."""
    lines = []
    for kind in KINDS:
        lines += [f"| {TITLES[kind]} | |", "|---|---|"]
        for style in found:
            if style.kind == kind:
                link = f"../../{style.file.relative_to(ROOT).as_posix()}"
                text = style.description.replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"| [`{style.name.partition('/')[2]}`]({link}) | {text} |")
        lines.append("")
    return "\n".join(lines)


def render_options() -> str:
    lines = ["| option | meaning | default |", "|---|---|---|"]
    for option in OPTIONS:
        choices = f": {', '.join(f'`{choice}`' for choice in option.choices)}" if option.choices else ""
        meaning = option.help + (choices if option.noun != "hints" else "")
        value = f"[={option.metavar}]" if option.bare else f"={option.metavar}"
        lines.append(f"| `{option.flag}{value}` | {meaning} | {f'`{option.default}`' if option.default else ''} |")
    return "\n".join([*lines, ""])


TABLES = {"submissions.md": ("styles", lambda: render_styles(styles())), "options.md": ("options", render_options)}


def updated(name: str) -> str:
    """A guide with its table as it is now."""
    marker, render = TABLES[name]
    begin, end = f"<!-- {marker}: begin -->\n", f"<!-- {marker}: end -->\n"
    text = (GUIDES / name).read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{name}: no line {begin}"
    assert closed, f"{name}: no line {end}"
    return before + begin + render() + end + after


if __name__ == "__main__":
    for guide in TABLES:
        (GUIDES / guide).write_text(updated(guide), encoding="utf-8")
