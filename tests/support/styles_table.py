"""The README's table of accepted styles, from the corpus: ``python -m tests.support.styles_table`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from tests.support.accepted import KINDS, Style, styles

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- styles: begin -->\n", "<!-- styles: end -->\n"
TITLES = {
    "function": "Functions of query, key and value",
    "projected": "Functions that are given their projections",
    "module": "Modules of any size",
    "narrow": "Modules of one size, 64 wide for instance",
}


def render_table(found: list[Style]) -> str:
    """Markdown, folded up; one line a submission, in its own words."""
    lines = [f"<details>\n<summary>{len(found)} styles that are graded as they are</summary>\n"]
    for kind in KINDS:
        lines += [f"| {TITLES[kind]} | |", "|---|---|"]
        for style in found:
            if style.kind == kind:
                place = style.file.relative_to(README.parent).as_posix()
                text = style.description.replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"| [`{style.name.partition('/')[2]}`]({place}) | {text} |")
        lines.append("")
    return "\n".join([*lines, "</details>\n"])


def updated(text: str) -> str:
    """A README with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + render_table(styles()) + END + after


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
