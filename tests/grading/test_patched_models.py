"""What the report says of a module's way into the model: what it was constructed with, and what was lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks import test_coherence, test_similarity
from pytest_attn_grader.grading.assemble import collect_run_data
from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.results.submission import StudentInfo
from tests.support.accepted import ACCEPTED
from tests.support.checks import put, session_over

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel
    from tests.support.students import Workshop


def info_of(workshop: Workshop, mini: LoadedModel, name: str) -> StudentInfo:
    session = session_over(workshop.student((ACCEPTED / name).read_text(encoding="utf-8")), mini)
    _ = session.comparison
    found = collect_run_data(session, None, failed=False).student
    assert found is not None
    return found


def test_what_was_passed_and_what_was_read_from_a_config_object(workshop: Workshop, mini: LoadedModel) -> None:
    found = info_of(workshop, mini, "module/nanogpt.py")
    assert found.constructed[0].arguments == {"config": "(a config object)"}
    read = found.constructed[0].config_read
    assert read == {"n_embd": 256, "n_head": 4, "bias": True, "block_size": 1024, "dropout": 0.0}
    assert (found.restriction, found.width_adapter) == (None, None)


def test_plain_arguments(workshop: Workshop, mini: LoadedModel) -> None:
    found = info_of(workshop, mini, "module/lazy.py")
    wanted = {"num_hiddens": 256, "num_heads": 4, "dropout": 0.0, "bias": True}
    assert found.constructed[0].arguments == wanted


def test_no_biases_is_a_restriction(workshop: Workshop, mini: LoadedModel) -> None:
    found = info_of(workshop, mini, "module/w_q_heads_model_head.py")
    assert found.restriction is None
    found = info_of(workshop, mini, "module/llama_like.py")
    assert found.restriction == "its projections have no biases: the reference is compared without them too"


@pytest.mark.parametrize(("name", "width"), [("narrow/plain.py", 64), ("narrow/width_32.py", 32)])
def test_what_a_narrow_module_loses(workshop: Workshop, mini: LoadedModel, name: str, width: int) -> None:
    found = info_of(workshop, mini, name)
    assert found.width_adapter is not None
    assert (found.width_adapter.width, found.width_adapter.exact_tokens) == (width, width - 1)
    # The held-back passages of `mini` are longer than 31 tokens, and one of them longer than 63.
    assert found.width_adapter.residual_tokens > found.width_adapter.exact_tokens
    assert 0 < float(found.width_adapter.residual) < 0.6
    assert f"{width} wide" in (found.restriction or "")


def test_weights_that_nobody_can_know_cost_nothing(workshop: Workshop, mini: LoadedModel) -> None:
    """40 tokens are too many to recover the weights of a module 32 wide; one that returns them need not be asked."""
    narrow, plain = (
        session_over(workshop.student((ACCEPTED / name).read_text(encoding="utf-8")), mini, prompt="the cat sat " * 12)
        for name in ("narrow/width_32.py", "narrow/plain.py")
    )
    assert len(narrow.prompt.tokens) > 32
    assert plain.patched.why_weights_unavailable(1000) is None
    with pytest.raises(NotApplicable, match="keeps its weights to itself, and from a module 32 wide"):
        put(test_similarity.test_similarity, narrow, metric="cosine", larger_is_better=True, meaning="")
    with pytest.raises(NotApplicable, match=f"not for {2 * len(narrow.prompt.tokens)}"):
        put(test_coherence.test_layer, narrow)
