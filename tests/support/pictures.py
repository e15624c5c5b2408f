"""The README's pictures, from real runs: ``python -m tests.support.pictures`` draws them again (needs chromium).

A picture carries the text that it shows, without its digits, so that a test can tell when it is out of date.
"""

from __future__ import annotations

import html
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / ".github" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTH, MAX_HEIGHT, COLUMNS = 1100, 1250, 100
WRONG = ("--attn-student=examples.student.wrong_scale", "--attn-model=mini", "--attn-seed=7", "-p", "no:cacheprovider")
PAGE_HEIGHT = 960  # down to the figures below the two heatmaps
MISTAKE, MISTAKE_HEIGHT = "scale-dk", 1160  # down to the maps
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("ATTN_", "PYTEST_"))}


def draw(folder: Path) -> None:
    """Write report.png, terminal.svg, mistake.png and gradebook.png."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        page = work / "page.html"
        run_in_terminal([sys.executable, "-m", "pytest", *WRONG, f"--attn-html={page}"])
        shown = run_in_terminal([sys.executable, "-m", "pytest", *WRONG, "-q"])
        grade = ["grade", "--roster", "examples/class/roster.csv", "--out", str(work / "graded"), "--model", "mini"]
        for command in (grade, ["explain", "--html", str(work / "mistakes")]):
            subprocess.run(
                [sys.executable, "-m", "pytest_attn_grader.cli.app", *command],
                cwd=ROOT,
                env=ENVIRONMENT,
                check=False,  # the class has failures
                capture_output=True,
            )
        take_screenshot(page, folder / "report.png", max_height=PAGE_HEIGHT)
        take_screenshot(work / "mistakes" / f"{MISTAKE}.html", folder / "mistake.png", max_height=MISTAKE_HEIGHT)
        take_screenshot(work / "graded" / "gradebook.html", folder / "gradebook.png", max_height=MAX_HEIGHT)
    write_svg(shown.partition("attention grader =")[2].partition("\n")[2], folder / "terminal.svg")


def run_in_terminal(command: list[str]) -> str:
    """What a command prints on a terminal, with its colours."""
    controller, terminal = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "60"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        parts = []
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            parts.append(part)
        process.wait()
    os.close(controller)
    return b"".join(parts).decode().replace("\r\n", "\n")


def write_svg(text: str, path: Path) -> None:
    """A terminal's text as a picture; its links and the time of the run are left out."""
    text = re.sub(r"\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)", "", text)
    lines = [line for line in text.rstrip().split("\n") if not re.search(r" in \d+\.\d+s", line)]
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        console.print(Text("$ pytest --attn-student=examples.student.wrong_scale\n", style="bold"))
        console.print(Text.from_ansi("\n".join(lines)))
    svg = console.export_svg(title="pytest --attn-student", unique_id="terminal")
    # No font from elsewhere: a reader's own will do.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def take_screenshot(page: Path, path: Path, *, max_height: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": WIDTH, "height": 400})
        opened.goto(page.as_uri())
        height = min(max_height, opened.evaluate("document.documentElement.scrollHeight"))
        opened.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        text = visible_text(opened, height)
        browser.close()
    carried = PngInfo()
    carried.add_itxt("Description", text)
    with Image.open(path) as image:
        few_colours = image.convert("RGB").quantize(128)
    few_colours.save(path, pnginfo=carried, optimize=True)


def visible_text(page: Any, height: int) -> str:
    """The headings and table heads within the picture, without digits."""
    script = """height => [...document.querySelectorAll("h1, h2, h3, th, dt")]
        .filter(each => each.getBoundingClientRect().bottom < height && each.getBoundingClientRect().height > 0)
        .map(each => each.innerText.trim()).join("\\n")"""
    return without_digits(page.evaluate(script, height))


def without_digits(text: str) -> str:
    return re.sub(r"[^a-zA-Z_\\s()]+", "", text)


def shown_text(picture: Path) -> str:
    """The text that a picture shows, as far as it stays the same from run to run."""
    if picture.suffix == ".svg":
        words = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
        text = " ".join(html.unescape(each).replace("\xa0", " ") for each in words)
        return " ".join(without_digits(text.partition("graded:")[0]).split())
    with Image.open(picture) as image:
        return str(image.info["Description"])


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(IMAGES)
    for picture in sorted(IMAGES.iterdir()):
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size / 1000:.0f} kB")
