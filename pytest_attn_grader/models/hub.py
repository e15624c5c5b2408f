"""Load a model from a hub, or from the cache that huggingface_hub keeps of it.

A complete cached snapshot is used without contacting the hub, so that a class is graded on one and the same model. To
get a newer one, name its revision or delete the folder in the cache.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.models.checkpoint import CONFIG, WEIGHTS, missing_parts, weight_files
from pytest_attn_grader.models.hub_download import DownloadRequest, fetch_snapshot
from pytest_attn_grader.models.pretrained import load_folder
from pytest_attn_grader.models.types import LoadedFiles, ModelSource, ModelSourceError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PinnedModel:
    """A model whose bytes are known beforehand."""

    name: str
    repo: str
    revision: str
    size_bytes: int
    sha256: str


PINNED_MODELS = (
    PinnedModel(
        name="distilgpt2",
        repo="distilbert/distilgpt2",
        revision="2290a62682d06624634c1f46a6ad5be0f47f38aa",
        size_bytes=352_824_413,
        sha256="e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b",
    ),
)


@dataclass(frozen=True)
class Hub:
    """The hub that is asked for models, and the cache of its files.

    Args:
        offline: never ask, use the cache only.
        pins: the models whose bytes are known.
        answer_seconds: how long the hub may take until it has answered what a model consists of.
    """

    endpoint: str
    cache_dir: Path
    offline: bool = False
    pins: tuple[PinnedModel, ...] = PINNED_MODELS
    answer_seconds: float = 10.0

    @classmethod
    def from_environment(cls) -> Hub:
        """Read HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE as huggingface_hub understands them."""
        from huggingface_hub import constants

        return cls(
            endpoint=constants.ENDPOINT, cache_dir=Path(constants.HF_HUB_CACHE), offline=constants.HF_HUB_OFFLINE
        )

    def find_pin(self, name: str, revision: str | None) -> PinnedModel | None:
        """Find the known model that `name` means, unless another revision of it is asked for."""
        for pin in self.pins:
            if name in (pin.name, pin.repo) and revision in (None, pin.revision):
                return pin
        return None


def load_hub_model(name: str, revision: str | None, *, hub: Hub, progress: bool) -> LoadedFiles:
    """Load a hub model, from the cache if it lies there whole, else after downloading it.

    Args:
        revision: branch, tag or commit; None means the pinned commit or the branch ``main``.
    """
    pin = hub.find_pin(name, revision)
    # A short name means the pinned model also where another revision of it is asked for.
    repo = next((each.repo for each in hub.pins if name == each.name), name)
    wanted = pin.revision if pin else revision or "main"
    # transformers caches a pinned model that was loaded by its short name under that name.
    known_as = (pin.repo, pin.name) if pin else (repo,)
    folder = next(filter(None, (cached_snapshot(hub, one, wanted) for one in known_as)), None)
    source: ModelSource = "cache"
    if folder is None:
        if hub.offline:
            raise ModelSourceError(
                f"it is not in the cache ({hub.cache_dir}) and HF_HUB_OFFLINE forbids asking the hub",
                "Unset HF_HUB_OFFLINE to download it, or work offline with --attn-model=mini. Pretrained "
                "weights from a package index: --attn-model=smollm2.",
            )
        request = DownloadRequest(repo, wanted, hub.endpoint, str(hub.cache_dir), hub.answer_seconds)
        folder = fetch_snapshot(request, progress=progress)
        source = "hub"
    remedy = f"Delete the folder {folder.parents[1]} and run again to download it again."
    if pin:
        _check_size(folder / WEIGHTS, pin, remedy)
    model, tokenizer, sha256 = load_folder(folder, remedy=remedy, checksums=_known_checksums(folder, pin))
    used = pin.name if pin else repo
    return LoadedFiles(model, tokenizer, used=used, source=source, revision=folder.name, sha256=sha256)


def cached_snapshot(hub: Hub, repo: str, revision: str) -> Path | None:
    """Find the folder of a revision in the cache; None when it is not there or only in part."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, CONFIG, cache_dir=hub.cache_dir, revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return None if missing_parts(folder) else folder


def _check_size(weights: Path, pin: PinnedModel, remedy: str) -> None:
    # Before the checksum: "half of it is missing" helps more than two hexadecimal numbers.
    size = weights.stat().st_size if weights.is_file() else 0
    if size != pin.size_bytes:
        raise ModelSourceError(f"{weights} is damaged: it has {size} of {pin.size_bytes} bytes", remedy)


def _known_checksums(folder: Path, pin: PinnedModel | None) -> dict[str, str]:
    """The pinned checksum, and those that the cache knows: it names a large file's blob after its sha256."""
    known = {}
    for weights in weight_files(folder):
        if weights.is_symlink():
            blob = Path(os.readlink(weights)).name
            if _SHA256.fullmatch(blob):
                known[weights.name] = blob
    if pin:
        known[WEIGHTS] = pin.sha256
    return known
