"""Sliding windows: a model's window is in the masks of the probes, and is given to a module that makes it itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.load import load_model
from tests.support.accepted import ACCEPTED
from tests.support.checkpoints import SIZES, small_family
from tests.support.checks import PASSED, ask_everything, session_over
from tests.support.normed import NORMED
from tests.support.students import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop

MIXED = ["sliding_attention", "full_attention"]
CONFIGS: dict[str, Any] = {
    "mistral": MistralConfig(**SIZES, sliding_window=4),
    "wide": MistralConfig(**SIZES, sliding_window=4096),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=32, sliding_window=3, layer_types=MIXED),
    "llama": LlamaConfig(**SIZES),
}
WINDOWS = {"mistral": (4, 4), "wide": (4096, 4096), "gemma3": (3, None), "llama": (None, None)}
# It masks by itself, with the window of its constructor.
OWN_WINDOW = change(
    NORMED,
    ("qk_norm=False, ", "sliding_window=None, "),
    ("if qk_norm", "self.window = sliding_window\n        if False"),
    ("def forward(self, x, mask):", "def forward(self, x):"),
    (
        "        scores = (q",
        "        i = torch.arange(t)\n"
        "        mask = i[None] <= i[:, None]\n"
        "        if self.window is not None:\n"
        "            mask = mask & (i[None] > i[:, None] - self.window)\n"
        "        scores = (q",
    ),
)
PLAIN = (ACCEPTED / "function" / "tutorial.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    loaded: dict[str, LoadedModel] = {}

    def load(name: str) -> LoadedModel:
        if name not in loaded:
            loaded[name] = load_model(
                str(small_family(tmp_path_factory.mktemp("models") / name, CONFIGS[name])), device="cpu"
            )
            attach_tokenizer(loaded[name].model, loaded[name].tokenizer)
        return loaded[name]

    return load


def failures(workshop: Workshop, loaded: LoadedModel, source: str, **settings: Any) -> dict[str, str]:
    said = ask_everything(session_over(workshop.student(source), loaded, **settings))
    assert sum(answer == PASSED for answer in said.values()) > 15
    return {
        check: answer
        for check, answer in said.items()
        if answer != PASSED and not answer.startswith("not applicable: ") and not check.startswith("budget")
    }


@pytest.mark.parametrize("family", CONFIGS)
def test_the_window_of_every_layer_is_known(model_of: Callable[[str], LoadedModel], family: str) -> None:
    architecture = find_architecture(model_of(family).model)

    assert architecture.sliding_windows == WINDOWS[family]
    same = len(set(WINDOWS[family])) == 1
    assert architecture.layer_steps(0).sliding_window == WINDOWS[family][0]
    assert architecture.layer_steps(0, all_layers=True).sliding_window == (WINDOWS[family][0] if same else None)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("family", "source", "settings"),
    [
        ("mistral", OWN_WINDOW, {"all_layers": True}),
        (
            "mistral",
            change(OWN_WINDOW, ("sliding_window=None", "window_size=1024"), ("= sliding_window", "= window_size")),
            {},
        ),
        ("mistral", NORMED, {}),
        ("mistral", PLAIN, {}),
        ("gemma3", change(OWN_WINDOW, ("sliding_window=None, ", ""), ("= sliding_window", "= None")), {"layer_idx": 1}),
        ("wide", OWN_WINDOW, {}),
        ("llama", OWN_WINDOW, {}),
    ],
    ids=["own", "another name", "by the mask", "function", "whole layer", "wide", "no window"],
)
def test_a_right_submission(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], family: str, source: str, settings: dict[str, Any]
) -> None:
    assert failures(workshop, model_of(family), source, **settings) == {}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("source", "slug"),
    [
        (change(OWN_WINDOW, ("i[:, None] - self.window", "i[:, None] - self.window - 1")), "window-off-by-one"),
        (change(OWN_WINDOW, ("i[:, None] - self.window", "i[:, None] - self.window + 1")), "window-off-by-one"),
        (change(OWN_WINDOW, ("= sliding_window", "= None")), "window-ignored"),
    ],
    ids=["one more", "one less", "ignored"],
)
def test_a_wrong_window_fails_and_is_named(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], source: str, slug: str
) -> None:
    session = session_over(workshop.student(source), model_of("mistral"))

    assert ask_everything(session)["equivalence.basic"] != PASSED
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


def test_the_probes_have_the_window_in_their_masks(workshop: Workshop, model_of: Callable[[str], LoadedModel]) -> None:
    probe = session_over(workshop.student(PLAIN), model_of("mistral")).run_probe("long").probe

    assert probe.sliding_window == 4
    assert probe.keep_mask[0, 0].equal(causal_keep_mask(probe.keep_mask.shape[-1], sliding_window=4))
