"""Load a model and its tokenizer from a folder: no network, no code from the folder, nothing printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.models.checkpoint import (
    WEIGHTS,
    check_checkpoint,
    file_sha256,
    weight_files,
)
from pytest_attn_grader.models.types import ModelSourceError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# How the name of a class ends that predicts the next token; the others predict the tokens that are masked.
_CAUSAL = ("LMHeadModel", "ForCausalLM")


def load_folder(
    folder: Path, *, remedy: str, checksums: Mapping[str, str] | None = None
) -> tuple[PreTrainedModel, Any, str | None]:
    """Load what lies in `folder`: float32, eager attention, eval mode, on the CPU.

    Args:
        checksums: sha256 that files of the folder must have, by file name.

    Returns:
        The model, its tokenizer, and the sha256 of its weights (None when they lie in several files).
    """
    config = check_checkpoint(folder, remedy=remedy)
    # The checksum of 353 MB takes a quarter of a second to one second. hashlib lets the import of transformers, which
    # takes longer, run meanwhile; so the files can be checked every time, without notes on what was checked before.
    with ThreadPoolExecutor(max_workers=1) as pool:
        actual = pool.submit(lambda: {path.name: file_sha256(path) for path in weight_files(folder)})
        auto_class = _auto_class(config, folder)
        sha256 = actual.result()
    for name, expected in (checksums or {}).items():
        if sha256.get(name, expected) != expected:
            raise ModelSourceError(
                f"{folder / name} is damaged: its sha256 is {sha256[name]} and should be {expected}", remedy
            )
    model, tokenizer = _load(folder, auto_class, remedy)
    return model, tokenizer, sha256.get(WEIGHTS)


def _auto_class(config: Mapping[str, Any], folder: Path) -> Any:
    import transformers

    if config["model_type"] not in transformers.CONFIG_MAPPING:
        own_code = "; the code that comes with it is never run" if "auto_map" in config else ""
        raise ModelSourceError(
            f"{folder} holds a model of type {config['model_type']!r}, for which transformers "
            f"{transformers.__version__} has no class{own_code}",
            "Take a model whose architecture is part of transformers, such as distilgpt2.",
        )
    from transformers.models.auto import modeling_auto

    names = config.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    if config["model_type"] in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not architecture.endswith(_CAUSAL):
        return transformers.AutoModelForMaskedLM
    if config["model_type"] in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForCausalLM
    raise ModelSourceError(
        f"{folder} holds a model of type {config['model_type']!r}, which is not a language model in transformers",
        "Take a model that predicts tokens, such as distilgpt2, or --attn-model=mini.",
    )


def _load(folder: Path, auto_class: Any, remedy: str) -> tuple[PreTrainedModel, Any]:
    import torch
    from transformers import AutoTokenizer

    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, report = auto_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:
        # tokenizers raises Exception itself, so a narrower class would miss it; none of it is the student's fault.
        lines = str(error).strip().splitlines() or ["no further message"]
        why = f"transformers cannot load {folder}: {type(error).__name__}: {lines[0].rstrip('.')}"
        raise ModelSourceError(why, remedy) from error
    absent = sorted(report["missing_keys"])
    if absent:
        raise ModelSourceError(
            f"the weights in {folder} lack {len(absent)} tensors of the model, {absent[0]} among them; random numbers "
            "would stand in their place",
            remedy,
        )
    return model.eval(), tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and remarks off the terminal, and leave its settings as they were."""
    from transformers import utils

    logging: Any = utils.logging  # its functions carry no annotations
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
