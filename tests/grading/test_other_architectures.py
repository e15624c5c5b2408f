"""Whole graded sessions in models of other architectures, small and with random weights, each read from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import transformers
from transformers import BertConfig, BloomConfig, DistilBertConfig, GPTNeoXConfig, LlamaConfig, Qwen2Config

from pytest_attn_grader.checks import test_behaviour as behaviour
from pytest_attn_grader.checks import test_masking as masking
from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.grading.evidence import CheckFailed
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.load import load_model
from tests.support.accepted import ACCEPTED
from tests.support.checkpoints import small_family
from tests.support.checks import PASSED, ask, ask_everything, put, session_over
from tests.support.runs import REPORT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.runs import Warm
    from tests.support.students import Workshop

SIZES = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, Any] = {
    "gpt-neox": GPTNeoXConfig(**SIZES),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=1),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=1),
    "bert": BertConfig(**SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=512, dim=128, hidden_dim=192, n_layers=2, n_heads=2, max_position_embeddings=64
    ),
}
ENCODERS = ("bert", "distilbert")
IS_TRANSFORMERS_4 = transformers.__version__.startswith("4.")
SUBMISSIONS = ("function/tutorial", "function/row_by_row", "projected/multi_head", "module/torch_like", "narrow/plain")
BOTH_WAYS = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.1):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        w = self.dropout((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1))
        return self.out((w @ v).transpose(1, 2).flatten(2))
"""


# An encoder's, with the mask (batch, key); the future is visible.
PADDED = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, padding_mask=None):
        b, t, d = x.shape
        q, k, v = (f(x).view(b, t, self.num_heads, -1).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(~padding_mask[:, None, None, :], -1e9)
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))
"""
PADDED_FUNCTION = """
def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None and mask.dim() == 2:
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -1e9)
    weights = scores.softmax(-1)
    return weights @ value, weights
"""
FILLED = "scores.masked_fill(~padding_mask[:, None, None, :], -1e9)"
PADDED_STYLES = {
    "keep": PADDED,
    "additive": PADDED.replace(FILLED, "scores + padding_mask[:, None, None, :]"),
    "blocked": 'ATTN_MASK = "blocked"' + PADDED.replace("~padding_mask", "padding_mask"),
    "with a cache": PADDED.replace("padding_mask", "mask").replace("mask=None", "mask=None, past_key_value=None"),
    "where it has two dimensions": PADDED.replace("padding_mask", "mask").replace(
        "        scores = scores.masked",
        "        if mask is not None and mask.dim() == 2:\n            scores = scores.masked",
    ),
    "function": PADDED_FUNCTION,
}


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    loaded: dict[str, LoadedModel] = {}

    def load(name: str) -> LoadedModel:
        if name in ENCODERS and IS_TRANSFORMERS_4:
            pytest.skip("transformers 4 computes the attention of encoders itself")
        if name not in loaded:
            folder = small_family(tmp_path_factory.mktemp("models") / name, CONFIGS[name])
            loaded[name] = load_model(str(folder), device="cpu")
            attach_tokenizer(loaded[name].model, loaded[name].tokenizer)
        return loaded[name]

    return load


def answers(workshop: Workshop, loaded: LoadedModel, source: str, **settings: Any) -> dict[str, str]:
    said = ask_everything(session_over(workshop.student(source), loaded, **settings))
    assert sum(answer == PASSED for answer in said.values()) > 30
    # How fast a submission is depends on what else runs here.
    judged = {check: answer for check, answer in said.items() if not check.startswith("budget")}
    return {check: answer for check, answer in judged.items() if answer != PASSED}


def source_of(name: str) -> str:
    return (ACCEPTED / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("submission", SUBMISSIONS)
def test_a_right_submission_in_every_layer_at_once(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], name: str, submission: str
) -> None:
    said = answers(workshop, model_of(name), source_of(submission), all_layers=True)
    assert {check: answer for check, answer in said.items() if not answer.startswith("not applicable: ")} == {}
    if name in ENCODERS:
        both_ways = {
            check.partition("[")[0] for check, answer in said.items() if "the model reads in both directions" in answer
        }
        assert both_ways == {
            "masking.no-weight-on-future",
            "masking.future-changes-nothing",
            "masking.cache",
            "behaviour.continuation",
        }


@pytest.mark.parametrize("name", ENCODERS)
def test_attention_without_a_mask_is_right_in_an_encoder(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], name: str
) -> None:
    said = answers(workshop, model_of(name), BOTH_WAYS, layer_idx=1)
    assert {check: answer for check, answer in said.items() if not answer.startswith("not applicable: ")} == {}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ENCODERS)
def test_looking_nowhere_is_wrong_in_an_encoder_too(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], name: str
) -> None:
    session = session_over(workshop.student(BOTH_WAYS.replace("w @ v", "v")), model_of(name))
    assert session.submission.attention.is_bidirectional
    assert "no output moved by" in ask(session, masking.test_sees_others)
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs[0] == "only-itself"
    assert "lets each token look only at itself" in diagnosis.message


@pytest.mark.sampled(2)
@pytest.mark.parametrize("style", PADDED_STYLES)
def test_a_mask_of_the_padding_is_all_that_an_encoder_needs(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], style: str
) -> None:
    said = answers(workshop, model_of("bert"), PADDED_STYLES[style])
    assert {check: answer for check, answer in said.items() if not answer.startswith("not applicable: ")} == {}
    assert not {"masking.padding[left]", "masking.padding[right]", "equivalence.basic"} & said.keys()


HIDES_FUTURE = FILLED + ".masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -1e9)"
FIRST_EXAMPLE = FILLED.replace("padding_mask[:,", "padding_mask[:1,")
BOTH_DIRECTIONS = "hides the future, although the model reads in both directions"
PADDING_IGNORED = "ignores the padding: real tokens attend to filler tokens"


@pytest.mark.sampled(0)
@pytest.mark.parametrize(
    ("name", "masked", "message"),
    [
        ("padding_mask", HIDES_FUTURE, BOTH_DIRECTIONS),
        ("mask", HIDES_FUTURE, BOTH_DIRECTIONS),
        ("padding_mask", "scores", PADDING_IGNORED),
        ("mask", "scores", PADDING_IGNORED),
        ("padding_mask", FIRST_EXAMPLE, "uses one mask for all examples"),
    ],
)
def test_a_wrong_mask_of_the_padding_in_an_encoder(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], name: str, masked: str, message: str
) -> None:
    source = PADDED.replace(FILLED, masked).replace("padding_mask", name)
    session = session_over(workshop.student(source), model_of("bert"))
    assert session.submission.attention.is_bidirectional
    said = ask_everything(session)
    assert said["equivalence.basic"].startswith("weights off by")
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert message in diagnosis.message
    texts = (*said.values(), diagnosis.message, diagnosis.hint or "")
    assert not any("language model" in text or "moved by 0 " in text for text in texts)


def test_a_mask_of_the_padding_is_not_enough_in_a_decoder(
    workshop: Workshop, model_of: Callable[[str], LoadedModel]
) -> None:
    session = session_over(workshop.student(PADDED), model_of("gpt-neox"))
    assert not session.submission.attention.is_bidirectional
    assert ask(session, masking.test_no_weight_on_future).startswith("a weight of")


def test_attention_without_a_mask_is_wrong_in_a_decoder(
    workshop: Workshop, model_of: Callable[[str], LoadedModel]
) -> None:
    session = session_over(workshop.student(BOTH_WAYS), model_of("llama"))
    failed = {check for check, answer in ask_everything(session).items() if answer.startswith("a weight of")}
    assert failed == {"masking.no-weight-on-future"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["module/nanogpt", "module/sequence_first"])
def test_a_causal_attention_is_wrong_in_an_encoder(
    name: str, workshop: Workshop, model_of: Callable[[str], LoadedModel]
) -> None:
    session = session_over(workshop.student(source_of(name)), model_of("bert"))
    said = ask_everything(session)
    assert said["equivalence.basic"].startswith("weights off by")
    assert said["gradients.model"].startswith("it differs by")
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs == ("causal-in-encoder",)


def test_an_encoder_is_not_said_to_predict_the_next_token(
    workshop: Workshop, model_of: Callable[[str], LoadedModel]
) -> None:
    wrong = BOTH_WAYS.replace(".softmax(-1)", ".softmax(-2)")
    session = session_over(workshop.student(wrong), model_of("bert"))
    predictions = session.comparison.predictions
    assert predictions.in_place
    assert all(text.changed_prediction is None for text in session.comparison.held_out)
    for check, words in ((behaviour.test_next_token, "at the prompt's last token"), (behaviour.test_loss, "in place")):
        with pytest.raises(CheckFailed) as failed:
            put(check, session)
        assert words in failed.value.expected
        assert "next" not in f"{failed.value.expected}{failed.value.actual}{failed.value.hint}"


def test_a_mistake_in_an_encoder_is_named(workshop: Workshop, model_of: Callable[[str], LoadedModel]) -> None:
    session = session_over(workshop.student(BOTH_WAYS.replace(" / q.shape[-1] ** 0.5", "")), model_of("bert"))
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs == ("no-scale",)


def test_all_layers_are_replaced_and_all_are_judged(workshop: Workshop, mini: LoadedModel) -> None:
    student = workshop.student(source_of("function/tutorial").replace("math.sqrt(d_k)", "d_k"))
    drifting = {}
    for settings in ({"layer_idx": 2}, {"all_layers": True}):
        session = session_over(student, mini, **settings)
        drifting[str(settings)] = {head.layer for head in session.comparison.heads if float(head.cosine) < 0.99}
    assert list(drifting.values()) == [{2}, {0, 1, 2}]


def test_a_model_whose_attention_cannot_be_replaced_is_ungradable(tmp_path: Any) -> None:
    config = BloomConfig(vocab_size=512, hidden_size=64, n_layer=1, n_head=2)
    config.max_position_embeddings = 64
    folder = small_family(tmp_path / "bloom", config)
    with pytest.raises(UngradableError, match=r"BloomForCausalLM.*works nevertheless: extract_attention_weights"):
        load_model(str(folder), device="cpu")


@pytest.mark.slow
@pytest.mark.skipif(IS_TRANSFORMERS_4, reason="the attention of encoders cannot be replaced there")
def test_a_whole_run(warm: Warm, tmp_path: Path) -> None:
    folder = small_family(tmp_path / "bert", CONFIGS["bert"])
    submission = ACCEPTED / "module" / "torch_like.py"
    run = warm.pytest(
        f"--attn-student={submission}", f"--attn-model={folder}", "--attn-layer=all", f"--attn-report={REPORT}",
        folder=warm.folder(),
    )  # fmt: skip
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert run.report["model"]["all_layers"] is True
    assert "in all layers of" in run.text
    unasked = {check for check, result in run.checks.items() if result["outcome"] == "not-applicable"}
    assert {"masking.no-weight-on-future", "behaviour.continuation[without-cache]"} <= unasked
