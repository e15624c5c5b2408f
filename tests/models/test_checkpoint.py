from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pytest_attn_grader.models import load_model

from .conftest import CopyCheckpoint, refusal


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
