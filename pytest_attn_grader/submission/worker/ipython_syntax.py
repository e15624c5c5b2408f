"""Translation of a notebook's cell to Python: magics, shell lines, help and cell magics. Part of the worker.

The rules are IPython's: a line is special by how a *logical* line begins or ends. What is inside brackets, strings or
comments, or continues a line, is Python.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass

# Cell magics that run the rest of the cell as Python.
PYTHON_CELL_MAGICS = frozenset({"time", "timeit", "capture", "prun", "python", "python3", "memit"})
# Line magics that run the rest of the line as Python.
_PYTHON_LINE_MAGICS = frozenset({"time", "prun"})
_OPTION = re.compile(r"-\w+\s+(?:\d+\s+)?")
_ASSIGNMENT = re.compile(r"(?P<left>\s*[A-Za-z_][\w\s.,\[\]'\"]*)=\s*(?P<kind>[%!])(?!=)(?P<rest>.*)")
_HELP = re.compile(r"\s*%{0,2}[A-Za-z_*][\w.*]*\?{1,2}\s*")
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class NotebookCell:
    """One code cell.

    Attributes:
        source: as Python; empty where the cell is in another language.
        written_file: the name of the file that ``%%writefile`` writes.
        written_text: what it writes.
    """

    source: str
    written_file: str | None = None
    written_text: str = ""


def read_code_cells(notebook: str) -> list[str]:
    """Return the code cells of a notebook, as they are.

    Raises:
        ValueError: it is not a notebook.
    """
    try:
        return ["".join(cell["source"]) for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is not a notebook: {type(error).__name__}") from error


def translate_cell(source: str) -> NotebookCell:
    """Translate a cell; line numbers stay the same."""
    if is_python(source):
        return NotebookCell(source)  # a line that starts with % may continue a formula
    lines = source.splitlines()
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        words = lines[first][2:].split()
        if words[:1] == ["writefile"] or words[:1] == ["file"]:
            body = "\n".join(lines[first + 1 :]) + "\n"
            return NotebookCell("", words[-1].strip("\"'"), body)
        if not words or words[0] not in PYTHON_CELL_MAGICS:
            return NotebookCell("")
        lines[first] = ""
    return NotebookCell("\n".join(_translate_lines(lines)) + "\n")


def is_python(source: str) -> bool:
    """Whether a cell is Python as it is, top-level ``await`` included."""
    try:
        compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return False
    return True


def _translate_lines(lines: list[str]) -> list[str]:
    translated: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        plain = line.lstrip()
        indent = line[: len(line) - len(plain)]
        assigned = _ASSIGNMENT.fullmatch(line)
        if plain.startswith(("%", "!", "?")) or assigned is not None:
            end = index
            while end + 1 < len(lines) and lines[end].endswith("\\"):
                end += 1
            python = _special_line(indent, plain) if assigned is None else _assigned(assigned)
            translated += [python, *[""] * (end - index)]
        else:
            end, code = _scan_logical_line(lines, index)
            is_help = end == index and _HELP.fullmatch(code) is not None
            translated += [indent + "pass"] if is_help else lines[index : end + 1]
        index = end + 1
    return translated


def _special_line(indent: str, plain: str) -> str:
    """A magic that runs Python leaves what it runs; every other special line does nothing."""
    name, _, rest = plain.lstrip("%").partition(" ")
    if plain.startswith("%") and name in _PYTHON_LINE_MAGICS and is_python(statement := _OPTION.sub("", rest).strip()):
        return indent + (statement or "pass")
    return indent + "pass"


def _assigned(found: re.Match[str]) -> str:
    """Assign an empty list in place of a shell line, which returns a list of lines, and None in place of a magic."""
    return f"{found['left']}= {'[]' if found['kind'] == '!' else 'None'}"


def _scan_logical_line(lines: list[str], start: int) -> tuple[int, str]:
    """Index of the last physical line of a logical line, and its first line without strings and comment."""
    depth = 0
    quote = ""
    code = ""
    for index in range(start, len(lines)):
        line = lines[index]
        position = 0
        while position < len(line):
            if quote:
                if line[position] == "\\":
                    position += 2
                elif line.startswith(quote, position):
                    position += len(quote)
                    quote = ""
                else:
                    position += 1
                continue
            letter = line[position]
            if letter == "#":
                break
            if letter in "\"'":
                quote = letter * 3 if line.startswith(letter * 3, position) else letter
                position += len(quote)
                code += "s" if index == start else ""
                continue
            depth += (letter in _OPENING) - (letter in _CLOSING)
            code += letter if index == start else ""
            position += 1
        if len(quote) == 1 and not line.endswith("\\"):
            quote = ""  # an unterminated string: Python will say so
        if not quote and depth <= 0 and not line.endswith("\\"):
            return index, code
    return len(lines) - 1, code
