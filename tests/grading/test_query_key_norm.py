"""Whole graded sessions in models whose layers have QK-norm: modules with and without norms, and plain functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3TextConfig, Olmo2Config, Qwen3Config

from pytest_attn_grader.errors import UngradableError
from pytest_attn_grader.model_utils import attach_tokenizer
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.load import load_model
from tests.support.accepted import ACCEPTED
from tests.support.checkpoints import SIZES, small_family
from tests.support.checks import PASSED, ask_everything, session_over
from tests.support.normed import NORMED, NORMED_WIDE
from tests.support.students import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop

CONFIGS: dict[str, Any] = {
    "qwen3": Qwen3Config(**SIZES, head_dim=64),
    "olmo2": Olmo2Config(**SIZES),
    "gemma3": Gemma3TextConfig(
        **SIZES,
        head_dim=64,
        sliding_window=4,
        query_pre_attn_scalar=24,
        layer_types=["sliding_attention", "full_attention"],
    ),
}
PLAIN = (ACCEPTED / "function" / "tutorial.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    loaded: dict[str, LoadedModel] = {}

    def load(name: str) -> LoadedModel:
        if name not in loaded:
            folder = small_family(tmp_path_factory.mktemp("models") / name, CONFIGS[name])
            weights = load_file(folder / "model.safetensors")
            generator = torch.Generator().manual_seed(1)
            for key, tensor in weights.items():
                if "q_norm" in key or "k_norm" in key:
                    tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
            loaded[name] = load_model(str(folder), device="cpu")
            attach_tokenizer(loaded[name].model, loaded[name].tokenizer)
        return loaded[name]

    return load


RIGHT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "its norm in every layer": ("qwen3", NORMED, {"all_layers": True}),
    "its norm over the whole width": ("olmo2", NORMED_WIDE, {"layer_idx": 1}),
    "its norm in a layer with a window": ("gemma3", NORMED, {}),
    "its norm in layers with different bases and windows": ("gemma3", NORMED, {"all_layers": True}),
    "its norm in a layer with another base": ("gemma3", NORMED, {"layer_idx": 1}),
    "no norm": ("qwen3", change(NORMED, ("if qk_norm", "if False")), {}),
    "a function": ("gemma3", PLAIN, {"all_layers": True}),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("what", RIGHT)
def test_a_right_submission(workshop: Workshop, model_of: Callable[[str], LoadedModel], what: str) -> None:
    family, source, settings = RIGHT[what]
    said = ask_everything(session_over(workshop.student(source), model_of(family), **settings))

    assert sum(answer == PASSED for answer in said.values()) > 30
    wrong = {
        check: answer
        for check, answer in said.items()
        if answer != PASSED and not answer.startswith("not applicable: ") and not check.startswith("budget")
    }
    assert wrong == {}


def test_a_base_that_is_typed_in_is_wrong_in_the_layers_with_another(
    workshop: Workshop, model_of: Callable[[str], LoadedModel]
) -> None:
    source = change(NORMED, (", theta=10000.0", ""), ("head_dim, theta", "head_dim, 10000.0"))
    session = session_over(workshop.student(source), model_of("gemma3"), all_layers=True)

    cosines = [min(float(head.cosine) for head in session.comparison.heads if head.layer == layer) for layer in (0, 1)]
    assert cosines[0] > 1 - 1e-6
    assert cosines[1] < 1 - 1e-4


def test_the_layers_own_weights_are_loaded(workshop: Workshop, model_of: Callable[[str], LoadedModel]) -> None:
    source = change(NORMED, ("self.q_norm(q), self.k_norm(k)", "self.q_norm(q), self.k_norm(k) * 1.01"))
    session = session_over(workshop.student(source), model_of("qwen3"))

    right = session_over(workshop.student(NORMED), model_of("qwen3"))
    cosines = [min(float(head.cosine) for head in each.comparison.heads) for each in (session, right)]
    assert cosines[0] < cosines[1]
    assert cosines[1] > 1 - 1e-6


NORMS = "q, k = self.q_norm(q), self.k_norm(k)"
NAMED = {
    "norm-wrong-axis": ("qwen3", change(NORMED, ("mean(-1, keepdim=True)", "mean(1, keepdim=True)"))),
    "norm-forgotten": ("gemma3", change(NORMED, (NORMS, "q = self.q_norm(q)"))),
    "norm-after-rotation": (
        "olmo2",
        change(
            NORMED_WIDE,
            ("self.q_norm(self.W_query(x))", "self.W_query(x)"),
            ("self.k_norm(self.W_key(x))", "self.W_key(x)"),
            (
                "rotate(q, self.theta), rotate(k, self.theta)",
                "(norm(rotate(z, self.theta).transpose(1, 2).flatten(2)).view(b, t, -1, self.d).transpose(1, 2)"
                " for norm, z in ((self.q_norm, q), (self.k_norm, k)))",
            ),
        ),
    ),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("slug", NAMED)
def test_a_wrong_norm_fails_and_is_named(workshop: Workshop, model_of: Callable[[str], LoadedModel], slug: str) -> None:
    family, source = NAMED[slug]
    session = session_over(workshop.student(source), model_of(family))

    assert ask_everything(session)["equivalence.basic"] != PASSED
    diagnosis = session.diagnose()
    assert diagnosis is not None
    assert diagnosis.slugs == (slug,), diagnosis.message


def test_layers_of_different_kinds_are_not_graded_at_once(
    workshop: Workshop, model_of: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_over(workshop.student(NORMED), model_of("qwen3"), all_layers=True)
    assert session.submission.attention.preparation is not None
    architecture = find_architecture(model_of("qwen3").model)
    mixed = replace(architecture, query_key_norms=(architecture.query_key_norms[0], None))
    monkeypatch.setattr("pytest_attn_grader.submission.module_attention.find_architecture", lambda _: mixed)
    with pytest.raises(UngradableError, match=r"Layer 1 .* in another way .* --attn-layer"):
        _ = session.patched.student_model
