from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import ModelUnavailableError
from pytest_attn_grader.models import load_model
from tests.support.hub_server import ServedFile

CopyCheckpoint = Callable[..., Path]


def refusal(path: Path | str) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(str(path))
    return str(caught.value)


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


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "encoder with a decoder"),
        ({"model_type": "led", "is_encoder_decoder": True}, "encoder with a decoder"),
        ({"model_type": "gemma3", "vision_config": {"hidden_size": 8}}, "reads more than text"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "no language modelling head"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, "no language modelling head"),
        (
            {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"]},
            "no language modelling head",
        ),
        ({"model_type": "electra", "architectures": ["ElectraForPreTraining"]}, "does not predict tokens"),
        ({"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"]}, "soft-cap (attn_logit_softcapping is 50)"),
        (
            {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "attn_logit_softcapping": 30},
            "soft-cap (attn_logit_softcapping is 30)",
        ),
        ({"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]}, "learned sink beside the keys"),
        ({"model_type": "no-such-type", "architectures": ["NewForCausalLM"]}, "transformers"),
        ({"model_type": "vit"}, "not a language model in transformers"),
    ],
)
def test_what_is_not_a_language_model_is_refused_from_its_configuration(
    fields: dict[str, object], why: str, copy_checkpoint: CopyCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def load_weights(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", load_weights)
    folder = copy_checkpoint()
    (folder / "config.json").write_text(json.dumps(fields))
    started = time.monotonic()
    message = refusal(folder)
    assert time.monotonic() - started < 2
    assert why in message


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


@pytest.mark.parametrize(
    ("without", "lacking"),
    [
        (("config.json",), "config.json"),
        (("model.safetensors",), "model.safetensors"),
        (
            ("tokenizer.json", "merges.txt"),
            "a tokenizer (tokenizer.json, or vocab.json and merges.txt, or vocab.txt)",
        ),
        (("config.json", "model.safetensors"), "config.json and model.safetensors"),
    ],
)
def test_a_part_is_missing(without: tuple[str, ...], lacking: str, copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint(*without)
    assert refusal(folder) == (
        f"Model {str(folder)!r} is not available: {folder} lacks {lacking}. A model folder is what "
        "model.save_pretrained(folder) and tokenizer.save_pretrained(folder) write."
    )


def test_a_pickle_is_refused_and_not_opened(copy_checkpoint: CopyCheckpoint, tmp_path: Path) -> None:
    folder = copy_checkpoint("model.safetensors")
    trace = tmp_path / "opened"
    # The pickle of a call: open(trace, "w") as soon as anybody loads it.
    payload = f"cbuiltins\nopen\n(V{trace}\nVw\ntR.".encode()
    (folder / "pytorch_model.bin").write_bytes(payload)
    message = refusal(folder)
    assert not trace.exists()
    assert "only a pickle (pytorch_model.bin), which can run any code when opened" in message
    assert "Save it again with model.save_pretrained(folder), which writes safetensors." in message


def test_pickles_beside_good_weights_are_not_opened(copy_checkpoint: CopyCheckpoint, tmp_path: Path) -> None:
    folder = copy_checkpoint()
    trace = tmp_path / "opened"
    names = ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "vocab.pkl", "tf_model.h5", "flax_model.msgpack")
    for name in names:
        (folder / name).write_bytes(f"cbuiltins\nopen\n(V{trace}\nVw\ntR.".encode())
    assert load_model(str(folder)).used == str(folder)
    assert not trace.exists()


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


def test_truncated_weights(copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    weights = folder / "model.safetensors"
    whole = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(whole - 1000)
    message = refusal(folder)
    assert f"{weights} has {whole - 1000} bytes and is truncated" in message
    assert message.endswith("Copy or save the model there again.")
    with weights.open("r+b") as file:
        file.truncate(100)
    assert f"{weights} has 100 bytes and is truncated" in refusal(folder)


def test_git_lfs_pointer(copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 352824413\n"
    (folder / "model.safetensors").write_text(pointer)
    message = refusal(folder)
    assert f"model.safetensors is a Git LFS pointer of {len(pointer)} bytes, not the weights themselves" in message
    assert "Fetch the real file with 'git lfs install' and 'git lfs pull' in that folder." in message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 bytes and is truncated, damaged or not a safetensors file"),
        (
            b"<html><body>Please log in</body></html>",
            "has 39 bytes and is truncated, damaged or not",
        ),
        ((4).to_bytes(8, "little") + b"{nop", "damaged or not a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "damaged or not a safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "tensors of the model"),
    ],
)
def test_no_weights_at_all(content: bytes, why: str, copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    (folder / "model.safetensors").write_bytes(content)
    assert why in refusal(folder)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "config.json is not JSON"),
        ("[]", "does not say which kind of model it is (no 'model_type')"),
        ("{}", "does not say which kind of model it is (no 'model_type')"),
        ('{"model_type": "never-heard-of"}', "of type 'never-heard-of', for which transformers"),
        ('{"model_type": "gpt2", "n_embd": 100, "n_head": 3}', "transformers cannot load"),
        ('{"model_type": "gpt2", "n_layer": "six"}', "transformers cannot load"),
    ],
)
def test_bad_configuration(content: str, why: str, copy_checkpoint: CopyCheckpoint) -> None:
    folder = copy_checkpoint()
    (folder / "config.json").write_text(content)
    assert why in refusal(folder)


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
