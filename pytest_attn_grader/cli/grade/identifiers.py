"""Ids of submissions: unique in a class, sorted as people expect, and turned into file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pytest_attn_grader.cli.grade.submissions import ClassSubmission

MAX_STEM_CHARACTERS = 80
_UNSAFE_IN_STEM = re.compile(r"[^\w.@+-]+")


def readable_text(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_file_stem(submission_id: str) -> str:
    """Turn an id into a file name: no separators, no leading dot, of bounded length."""
    plain = _UNSAFE_IN_STEM.sub("_", unicodedata.normalize("NFC", submission_id.strip())).lstrip(".")
    return plain[:MAX_STEM_CHARACTERS] or "submission"


def assign_file_stems(submissions: Sequence[ClassSubmission]) -> list[ClassSubmission]:
    """Give each submission a file name of its id; two ids with the same file name both get a hash of the id."""
    # Some file systems do not distinguish upper and lower case.
    counts = Counter(make_file_stem(each.id).casefold() for each in submissions)

    def unique(submission_id: str) -> str:
        stem = make_file_stem(submission_id)
        digest = hashlib.sha256(submission_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return stem if counts[stem.casefold()] == 1 else f"{stem}-{digest}"

    return [replace(each, file_stem=unique(each.id)) for each in submissions]


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts student2 before student10."""
    parts = re.split(r"(\d+)", text.casefold())
    return tuple((1, part) if index % 2 == 0 else (0, int(part)) for index, part in enumerate(parts))


def make_ids_unique(found: Sequence[ClassSubmission]) -> list[ClassSubmission]:
    """Prefix equal ids with their folders. A notebook beside a file of the same name becomes a problem."""
    same_id: dict[str, list[ClassSubmission]] = defaultdict(list)
    for each in found:
        same_id[each.id].append(each)
    result = []
    for each in found:
        others = [other for other in same_id[each.id] if other is not each]
        beside = [other for other in others if other.path and each.path and other.path.parent == each.path.parent]
        if beside and each.folder == each.path and beside[0].folder == beside[0].path and each.path != beside[0].path:
            if each is min((each, *beside), key=lambda one: str(one.path)):
                names = ", ".join(sorted(one.path.name for one in (each, *beside) if one.path))
                result.append(
                    ClassSubmission(each.id, problem=f"which file is the submission: {names}? Keep one of them")
                )
        elif each.path is not None and any(other.path not in {None, each.path} for other in others):
            result.append(replace(each, id=_qualified_id(each, others)))
        else:
            result.append(each)
    return _numbered(result)


def _qualified_id(each: ClassSubmission, others: Sequence[ClassSubmission]) -> str:
    """The id with as many folder names before it as tell it from the others."""
    parents = [name for name in _parents(each) if name]
    rivals = [_parents(other) for other in others]
    for depth in range(1, len(parents) + 1):
        if all(rival[:depth] != parents[:depth] for rival in rivals):
            return "/".join([*reversed(parents[:depth]), each.id])
    return each.id


def _parents(each: ClassSubmission) -> list[str]:
    """The names of the folders above a submission, the nearest first."""
    if each.export is not None:
        folders = [each.export, *each.export.parents]
    else:
        folders = [] if each.folder is None else [*each.folder.parents]
    return [readable_text(folder.name) for folder in folders]


def _numbered(found: Sequence[ClassSubmission]) -> list[ClassSubmission]:
    """Number what still has the same id."""
    seen: Counter[str] = Counter()
    result = []
    for each in found:
        seen[each.id] += 1
        result.append(each if seen[each.id] == 1 else replace(each, id=f"{each.id} ({seen[each.id]})"))
    return result
