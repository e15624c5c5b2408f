"""A folder with a model in it: what has to be there, and whether it is whole. Nothing here loads or runs anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pytest_attn_grader.models.types import ModelSourceError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS_SHARDS = "model-*-of-*.safetensors"

# Any one of these sets is enough for a tokenizer.
TOKENIZER_SETS: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
)
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LFS_POINTER = b"version https://git-lfs"
_HEADER_LIMIT_BYTES = 100_000_000  # safetensors' own limit


def missing_parts(folder: Path) -> list[str]:
    """Name what `folder` lacks to be loaded: its configuration, its weights, its tokenizer."""
    missing = []
    if not (folder / CONFIG).is_file():
        missing.append(CONFIG)
    if not (folder / WEIGHTS).is_file() and not (folder / WEIGHTS_INDEX).is_file():
        missing.append(WEIGHTS)
    elif (folder / WEIGHTS_INDEX).is_file():
        missing += [name for name in _shard_names(folder) if not (folder / name).is_file()]
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_SETS):
        missing.append("a tokenizer (tokenizer.json, or vocab.json and merges.txt, or vocab.txt)")
    return missing


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that hold the weights: one file, or the shards that the index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    return [folder / name for name in _shard_names(folder)]


def check_checkpoint(folder: Path, *, remedy: str) -> dict[str, Any]:
    """Make sure that `folder` holds a whole model that needs no code of its own, and return its configuration.

    Args:
        folder: where the files lie.
        remedy: what to do when a file is damaged.

    Raises:
        ModelSourceError: a part is missing or damaged, or the weights are a pickle.
    """
    missing = missing_parts(folder)
    pickles = [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]
    if WEIGHTS in missing and pickles:
        raise ModelSourceError(
            f"there is no {WEIGHTS} in {folder}, only a pickle ({pickles[0]}), which can run any code when opened",
            "Save it again with model.save_pretrained(folder), which writes safetensors.",
        )
    if missing:
        raise ModelSourceError(
            f"{folder} lacks {' and '.join(missing)}",
            "A model folder is what model.save_pretrained(folder) and tokenizer.save_pretrained(folder) write.",
        )
    try:
        for weights in weight_files(folder):
            _check_safetensors(weights, remedy=remedy)
        return _read_config(folder / CONFIG, remedy=remedy)
    except OSError as error:
        raise ModelSourceError(f"{folder} cannot be read: {error}", "Make its files readable for this user.") from error


def file_sha256(path: Path) -> str:
    """Checksum of a file in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _shard_names(folder: Path) -> list[str]:
    try:
        index = json.loads((folder / WEIGHTS_INDEX).read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
        if all(Path(name).name == name for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    # An index that cannot be read, or that points out of its folder, names nothing: the weights are what is missing.
    return [WEIGHTS]


def _check_safetensors(path: Path, *, remedy: str) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise ModelSourceError(
                f"{path} is a Git LFS pointer of {size} bytes, not the weights themselves",
                "Fetch the real file with 'git lfs install' and 'git lfs pull' in that folder.",
            )
        file.seek(0)
        header_size = int.from_bytes(file.read(8), "little")
        if size < 8 or header_size > _HEADER_LIMIT_BYTES:
            raise ModelSourceError(f"{path} is not a safetensors file ({size} bytes, no header)", remedy)
        header = file.read(header_size)
    if len(header) < header_size:
        raise ModelSourceError(f"{path} is truncated: it ends after {size} bytes, inside its header", remedy)
    try:
        entries = json.loads(header)
        data_size = max(
            (entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0
        )
        expected = 8 + header_size + int(data_size)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ModelSourceError(f"{path} is not a safetensors file: its header cannot be read", remedy) from None
    if size < expected:
        raise ModelSourceError(f"{path} is truncated: it has {size} of {expected} bytes", remedy)


def _read_config(path: Path, *, remedy: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelSourceError(f"{path} is not JSON: {error}", remedy) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelSourceError(
            f"{path} does not say which kind of model it is (no 'model_type')",
            "Take the config.json that model.save_pretrained(folder) writes.",
        )
    return config
