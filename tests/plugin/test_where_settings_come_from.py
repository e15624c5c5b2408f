"""End to end: the command line beats the environment, the environment beats the ini file; seeds reproduce."""

from __future__ import annotations

import pytest

from tests.support.runs import Run, Warm
from tests.support.students import REFERENCE

INI = """
attn_model = ./nowhere
attn_prompt = from the ini file
attn_layer = 1
attn_seed = 11
attn_points =
  contract = 40
  masking = 0
attn_thresholds =
  cosine = 0.5
  kl_divergence = 3
attn_forbid =
  torch.nn.functional.softmax
"""
ENVIRONMENT = {"ATTN_MODEL": "mini", "ATTN_PROMPT": "The dog sat on the roof", "ATTN_SEED": "12"}
SHIFTED = REFERENCE.replace("return weights @ value, weights", "return weights @ value + 0.001, weights")
LIBRARY = """
import torch

def attention(query, key, value, mask=None):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
"""


def test_every_source_in_its_order(warm: Warm) -> None:
    # The ini file is named, because one among the student's own files is not heeded.
    args = ("-c", "pytest.ini", "-p", "no:cacheprovider", "--attn-report=report.json", "--attn-student=student.py")
    args += ("--attn-seed=13",)
    folder = warm.folder({"student.py": REFERENCE, "pytest.ini": f"[pytest]\n{INI}"})
    run = warm.pytest(*args, folder=folder, environment=ENVIRONMENT)
    assert (run.exit_code, run.verdict) == (0, "passed"), run.text
    assert run.report["model"]["used"] == "mini"
    assert run.report["model"]["layer_idx"] == 1
    assert run.report["prompt"]["text"] == "The dog sat on the roof"
    assert run.report["seeds"] == {"inputs": 13}
    assert run.report["score"]["by_category"]["contract"]["possible"] == 40
    assert run.report["score"]["by_category"]["masking"]["possible"] == 0
    assert run.report["score"]["possible"] == 100 - 20 - 5 + 40
    assert run.checks["similarity[cosine]"]["evidence"]["threshold"] == 0.5
    assert run.report["settings"]["thresholds"]["kl_divergence"] == 3
    assert run.report["settings"]["forbid"] == ["torch.nn.functional.softmax"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ini", "words"),
    [
        ("attn_points =\n  maskin = 3", "'maskin = 3'"),
        ("attn_thresholds =\n  cosine = high", "'high'"),
        ("attn_layer = top", "ini option attn_layer got 'top'"),
    ],
)
def test_an_ini_file_that_cannot_be_used(ini: str, words: str, warm: Warm) -> None:
    warm.grade(REFERENCE, ini=f"{ini}\n").assert_ungradable(4, words)


@pytest.mark.slow
def test_ready_made_attention_is_reported_and_can_be_forbidden(warm: Warm) -> None:
    allowed = warm.grade(LIBRARY, "-k", "contract")
    name = next(iter(allowed.report["student"]["library_calls"]))
    assert "scaled_dot_product_attention" in name
    assert allowed.ids("failed") == set()
    forbidden = warm.grade(LIBRARY, ini=f"attn_forbid =\n  {name}\n")
    forbidden.assert_failed("contract.own-work")
    assert name in forbidden.checks["contract.own-work"]["actual"]
    short = warm.grade(LIBRARY, "-k", "contract", ini=f"attn_forbid =\n  {name.rpartition('.')[2]}\n")
    assert name in short.checks["contract.own-work"]["actual"]


HIDDEN = """
import torch
import torch.nn.functional as F

def attention(query, key, value, mask=None):
    with torch._C.DisableTorchFunction():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
"""


@pytest.mark.slow
def test_a_hidden_call_of_what_is_forbidden_is_no_own_work(warm: Warm) -> None:
    ini = "attn_forbid =\n  scaled_dot_product_attention\n"
    run = warm.grade(HIDDEN, "-k", "contract", ini=ini)
    assert "could be hidden by DisableTorchFunction (line 6)" in run.checks["contract.own-work"]["actual"]
    compares = (
        REFERENCE + "\ndef compare(q, k, v):\n    return torch.nn.functional.scaled_dot_product_attention(q, k, v)\n"
    )
    assert warm.grade(compares, "-k", "contract", ini=ini).ids("failed") == set()


def numbers(run: Run) -> dict[str, object]:
    """What was measured, without what a clock says."""
    return {
        check["id"]: {key: value for key, value in check["evidence"].items() if "seconds" not in key}
        for check in run.report["checks"]
        if check["category"] != "budget"
    }


@pytest.mark.slow
def test_a_seed_that_was_drawn_can_be_given_back(warm: Warm) -> None:
    """Two draws differ, and the drawn one reproduces every number."""
    select = ("-k", "contract or test_equivalence or weights")
    first = warm.grade(SHIFTED, *select)
    seed = first.report["seeds"]["inputs"]
    again = warm.grade(SHIFTED, *select, f"--attn-seed={seed}")
    assert again.report["seeds"]["inputs"] == seed
    assert strip(numbers(again)) == strip(numbers(first))
    other = warm.grade(SHIFTED, *select)
    assert other.report["seeds"]["inputs"] != seed
    assert strip(numbers(other)) != strip(numbers(first))


def strip(measured: dict[str, object]) -> dict[str, object]:
    """Without the first call's seconds, which the contract notes."""
    return {check_id: evidence for check_id, evidence in measured.items() if not check_id.startswith("contract")}
