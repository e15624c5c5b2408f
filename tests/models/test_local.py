from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.models import load_model
from tests.support.hub_server import ServedFile

from .conftest import CopyCheckpoint, refusal


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_loads_a_folder(small_checkpoint: Path) -> None:
    loaded = load_model(str(small_checkpoint))
    assert (loaded.used, loaded.requested, loaded.source) == (str(small_checkpoint), str(small_checkpoint), "path")
    assert loaded.revision is None
    assert loaded.fallback_reason is None
    assert loaded.sha256 == ServedFile(small_checkpoint / "model.safetensors").sha256
    assert loaded.load_seconds > 0
    assert type(loaded.model).__name__ == "GPT2LMHeadModel"
    assert loaded.tokenizer.is_fast
    assert loaded.tokenizer.tokenize("The cat sat on the mat") == ["The", "Ġcat", "Ġsat", "Ġon", "Ġthe", "Ġmat"]


def test_is_ready_to_be_graded_in(small_checkpoint: Path) -> None:
    loaded = load_model(str(small_checkpoint), device="cpu")
    assert not loaded.model.training
    assert loaded.model.config._attn_implementation == "eager"
    for parameter in loaded.model.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.requires_grad
        assert parameter.device == loaded.device == torch.device("cpu")
    prompt = loaded.tokenizer("The cat sat on the mat", return_tensors="pt")
    attentions = loaded.model(**prompt, output_attentions=True).attentions
    assert [tuple(attention.shape) for attention in attentions] == [(1, 2, 6, 6)] * 2


def test_half_precision_weights_become_float32(copy_checkpoint: CopyCheckpoint) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_checkpoint()
    tensors = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit_config(folder, torch_dtype="float16")
    assert load_model(str(folder)).model.dtype == torch.float32


def test_home_folder(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(small_checkpoint.parent))
    monkeypatch.setenv("USERPROFILE", str(small_checkpoint.parent))
    assert load_model("~/small").used == "~/small"


@pytest.mark.parametrize(
    ("family", "sizes", "class_name"),
    [
        ("Bert", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}, "BertForMaskedLM"),
        ("DistilBert", {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64}, "DistilBertForMaskedLM"),
        (
            "Llama",
            {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2},
            "LlamaForCausalLM",
        ),
    ],
)
def test_other_families(family: str, sizes: dict[str, int], class_name: str, copy_checkpoint: CopyCheckpoint) -> None:
    import transformers

    if "Bert" in family and transformers.__version__.startswith("4."):
        pytest.skip("transformers 4 computes the attention of encoders itself")
    folder = copy_checkpoint("config.json", "generation_config.json", "model.safetensors")
    config = getattr(transformers, f"{family}Config")(vocab_size=512, **sizes)
    getattr(transformers, class_name)(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    loaded = load_model(str(folder))
    assert type(loaded.model).__name__ == class_name
    assert loaded.model.config._attn_implementation == "eager"
    assert len(loaded.tokenizer("The cat sat on the mat")["input_ids"]) == 6


def test_without_architectures_in_the_configuration_the_head_follows_from_the_type(
    copy_checkpoint: CopyCheckpoint,
) -> None:
    folder = copy_checkpoint()
    config = json.loads((folder / "config.json").read_text())
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    assert type(load_model(str(folder)).model).__name__ == "GPT2LMHeadModel"


def test_weights_in_several_files(copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    whole = load_model(str(folder))
    (folder / "model.safetensors").unlink()
    whole.model.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    loaded = load_model(str(folder))
    assert loaded.sha256 is None
    for name, parameter in loaded.model.named_parameters():
        assert torch.equal(parameter, whole.model.get_parameter(name))

    gone = sorted(folder.glob("model-*-of-*.safetensors"))[1]
    gone.unlink()
    assert f"{folder} lacks {gone.name}." in refusal(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    assert refusal(path) == (
        f"Model {str(path)!r} is not available: there is no folder {path}. Check the spelling of the path."
    )


def test_a_file(small_checkpoint: Path) -> None:
    weights = small_checkpoint / "model.safetensors"
    assert refusal(weights) == (
        f"Model {str(weights)!r} is not available: {weights} is a file. "
        f"Name the folder that it lies in: {small_checkpoint}."
    )


@pytest.mark.parametrize("model_type", ["gpt2", "own"])
def test_code_in_the_folder_is_never_run(model_type: str, copy_checkpoint: CopyCheckpoint, tmp_path: Path) -> None:
    folder = copy_checkpoint()
    trace = tmp_path / "run"
    code = (
        f"open({str(trace)!r}, 'w').close()\nfrom transformers import GPT2LMHeadModel as Own, GPT2Config as OwnConfig\n"
    )
    (folder / "modeling_own.py").write_text(code)
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    edit_config(folder, model_type=model_type, auto_map=auto_map)
    if model_type == "gpt2":
        assert type(load_model(str(folder)).model).__module__ == "transformers.models.gpt2.modeling_gpt2"
    else:
        message = refusal(folder)
        assert "holds a model of type 'own', for which transformers" in message
        assert "has no class; the code that comes with it is never run" in message
        assert "Take a model whose architecture is part of transformers, such as distilgpt2." in message
    assert not trace.exists()


def test_code_for_the_tokenizer_is_never_run(copy_checkpoint: CopyCheckpoint, tmp_path: Path) -> None:
    folder = copy_checkpoint()
    trace = tmp_path / "run"
    (folder / "tokenization_own.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Own: ...\n")
    settings = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "tokenization_own.Own"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        load_model(str(folder))
    except ModelUnavailableError as error:
        assert str(folder) in str(error)  # noqa: PT017 - some versions refuse, others take their own class; none may run it
    assert not trace.exists()


def test_absent_tensors_are_not_made_up(copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    edit_config(folder, n_layer=3)
    message = refusal(folder)
    assert f"the weights in {folder} lack 12 tensors of the model, transformer.h.2." in message
    assert "random numbers would stand in their place" in message


@pytest.mark.parametrize("spoil", ["{", "{}", "merges"])
def test_tokenizer_that_cannot_be_read(spoil: str, copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    tokenizer = folder / "tokenizer.json"
    if spoil == "merges":
        # Merges of tokens that are not there: tokenizers raises a bare Exception for it.
        whole = json.loads(tokenizer.read_text(encoding="utf-8"))
        whole["model"]["merges"] = [["no such", "token"]]
        spoil = json.dumps(whole)
    tokenizer.write_text(spoil, encoding="utf-8")
    message = refusal(folder)
    assert message.startswith(f"Model {str(folder)!r} is not available: transformers cannot load {folder}: ")
    assert message.endswith(". Copy or save the model there again.")


def test_nothing_is_printed(small_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    load_model(str(small_checkpoint))
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
