"""The corpus that grades the grader: what it holds, and (slow) what becomes of it."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from pytest_attn_grader.misconceptions import MISCONCEPTIONS
from tests.misconceptions.confusion import (
    BEGIN,
    END,
    GUIDE,
    grade_corpus,
    group_of,
    render_surprises,
    render_table,
    write_table,
)
from tests.misconceptions.grading import CORPUS, Bench, Graded, corpus, expected_slugs, is_as_expected
from tests.misconceptions.test_cache_mistakes import WRONG as MODULES_WITH_A_CACHE
from tests.misconceptions.test_norm_mistakes import WRONG as MODULES_WITH_NORMS
from tests.misconceptions.test_rotary_mistakes import FORGOTTEN as MODULES_WITHOUT_ROTATION
from tests.misconceptions.test_rotary_mistakes import WRONG as MODULES_WITH_ROTATION
from tests.misconceptions.test_window_mistakes import WRONG as SUBMISSIONS_WITH_A_WINDOW

# Files that do not parse, or that import something that is not there.
BROKEN = ("merge_conflict", "syntax_error", "newer_python", "import_fails", "near_import_fails")
# Right submissions that come close to a mistake, where none is called near_<mistake>.
NEAR_MISSES = {
    "syntax-error": "near_newer_python",
    "uninit-empty": "loop_over_queries",
    "no-softmax": "logsumexp",
    "softmax-query-axis": "near_mask_transposed",
    "softmax-head-axis": "unseen_bmm_folded",
    "softmax-batch-axis": "three_dimensional",
    "softmax-flat": "folded_heads",
    "only-itself": "own_causal_mask",
    "no-scale": "scale_in_query",
    "scale-dk": "unseen_fourth_root",
    "scale-twice": "scale_in_both",
    "scale-dmodel": "folded_heads",
    "scale-inverted": "scale_in_key",
    "scale-after-softmax": "mask_before_scale",
    "scale-seq": "plain_4d",
    "scale-other": "unseen_prescaled_query",
    "no-causal-mask": "own_causal_mask_nanogpt",
    "mask-discarded": "near_inplace_input",
    "mask-inverted": "declared_blocked",
    "additive-as-bool": "declared_additive",
    "bool-as-additive": "declared_additive",
    "mask-dtype-only-bool": "near_mask_mutated",
    "mask-multiplied": "fill_1e9_added",
    "mask-fill-zero": "fill_1e4",
    "mask-fill-tiny": "fill_1e9_added",
    "mask-fill-small": "fill_1e4",
    "plus-inf-fill": "near_mask_mutated",
    "mask-after-softmax": "near_mask_renormalised",
    "mask-after-softmax-neginf": "near_mask_renormalised",
    "diag-off-strict": "own_causal_mask",
    "diag-off-loose": "own_causal_mask",
    "pad-ignored": "near_stale_cache",
    "pad-wrong-axis": "near_mask_transposed",
    "mask-repeat-order": "near_repeat_order",
    "square-mask-decode": "near_stale_cache",
    "sdpa-is-causal-topleft": "library_sdpa",
    "mask-float-added-bias": "fill_1e9_added",
    "k-for-v": "einsum_names",
    "kv-swapped": "einsum_names",
    "qk-swapped": "near_mask_transposed",
    "q-only": "einsum_names",
    "elementwise-qk": "matmul_by_sum",
    "weights-transposed": "near_mask_transposed",
    "wrong-variable": "near_undefined_name",
    "batch-as-seq": "near_batch_first_forgotten",
    "split-view": "near_view_not_contiguous",
    "kT-view": "near_view_not_contiguous",
    "merge-view": "folded_heads",
    "merge-dim-major": "near_split_dim_major",
    "head-order": "loop_over_heads",
    "single-head": "unseen_loop_heads",
    "heads-averaged": "loop_over_heads",
    "softmax-naive": "unseen_eps_softmax",
    "q-data": "near_inplace_input",
    "weights-detached": "unseen_softmax_fp32",
    "no-grad": "near_numpy_roundtrip",
    "tolist": "loop_over_queries",
    "inplace-saved": "near_inplace_input",
    "dropout-eval": "dropout_functional",
    "dropout-missing": "dropout_p_only",
    "dropout-before-softmax": "dropout_weights_before",
    "dropout-on-output": "dropout_by_hand",
    "cpu-scale-tensor": "near_cuda_hard",
    "float-mask-promote": "near_float32_mixed_in",
}
# Mistakes of modules with rotary positions, groups, a cache, a window or norms, and of encoders: their own tests.
OF_OTHER_TESTS = ("rotary", "cache", "groups", "window", "norm", "causal-in-encoder")
KNOWN = {known.slug for known in MISCONCEPTIONS}
# One of each kind, so that every ordinary run goes through the worker too.
SAMPLE = (
    "correct/online_softmax.py",
    "correct/two_dimensional.py",
    "correct/declared_none.py",
    "correct/dropout_by_hand.py",
    "wrong/scale_dk_division.py",
    "wrong/mask_mutated_invert.py",
    "wrong/stale_cache_concat.py",
    "wrong/dropout_eval_module.py",
    "wrong/merge_conflict_markers.py",
    "wrong/elementwise_qk_star.py",
    "wrong/double/no_scale_q_data.py",
)


def test_every_file_says_what_it_must_get():
    for file in corpus():
        assert set(expected_slugs(file)) <= KNOWN, file.name
        assert bool(expected_slugs(file)) == ("wrong" in file.relative_to(CORPUS).parts), file.name
        assert (len(expected_slugs(file)) == 2) == ("double" in file.relative_to(CORPUS).parts), file.name


def test_there_are_enough():
    groups = Counter(file.parent.name for file in corpus())
    assert groups["correct"] >= 80
    assert groups["wrong"] >= 365
    assert groups["double"] >= 35


def test_every_mistake_that_counts_in_two_styles():
    times = Counter(slug for file in corpus() if file.parent.name == "wrong" for slug in expected_slugs(file))
    modules = (
        *MODULES_WITH_ROTATION,
        *MODULES_WITHOUT_ROTATION,
        *MODULES_WITH_A_CACHE,
        *MODULES_WITH_NORMS,
        *SUBMISSIONS_WITH_A_WINDOW,
    )
    times.update(slug for slug, _ in modules)
    assert {known.slug for known in MISCONCEPTIONS if known.counted and times[known.slug] < 2} == {
        "causal-in-encoder"  # in tests/grading/test_other_architectures.py
    }


@pytest.mark.parametrize("slug", [known.slug for known in MISCONCEPTIONS if known.counted])
def test_every_mistake_that_counts_has_a_near_miss(slug: str):
    name = NEAR_MISSES.get(slug, f"near_{slug.replace('-', '_').lower()}")
    assert slug.startswith(OF_OTHER_TESTS) or (CORPUS / "correct" / f"{name}.py").is_file()


def test_submissions_stand_on_their_own():
    for file in corpus():
        if file.name.startswith(BROKEN):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= {"dataclasses", "math", "numpy", "torch", "typing"}, (
                file.name
            )


def test_no_two_submissions_are_the_same_code():
    bodies = Counter("".join(file.read_text(encoding="utf-8").split("\n")[1:]) for file in corpus())
    assert [body for body, times in bodies.items() if times > 1] == []


def test_a_header_that_says_nothing_is_refused(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("import torch\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.py: the first line must be '# expect: SLUG', not 'import torch'"):
        expected_slugs(file)


@pytest.mark.slow
def test_a_sample_through_the_worker():
    with Bench(seed=11) as bench:
        graded = [bench.grade(CORPUS / name) for name in SAMPLE]
    assert render_surprises(graded) == ""


def test_the_table_counts_what_it_says():
    right = Graded("a", (), "", None, 0.0)
    wrong = Graded("b", ("no-scale",), "basic: wrong output", None, 0.0)
    table = render_table([right, wrong]).splitlines()
    assert table[2] == "| correct | 1 | 1 | 0 | 0 | 0 | 0 |"
    assert table[3] == "| one mistake | 1 | 0 | 1 | 0 | 0 | 1 |"
    assert is_as_expected(right)
    assert render_surprises([wrong]) == "b: expected no-scale; rejected (basic: wrong output)"


def test_the_table_finds_its_place(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    write_table("| new |", readme)
    write_table("| newer |", readme)
    assert readme.read_text(encoding="utf-8") == f"before\n{BEGIN}\n| newer |\n\n{END}after\n"
    readme.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        write_table("| new |", readme)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_bars():
    graded = grade_corpus(corpus(), processes=2, seed=77)
    groups = {group: [each for each in graded if group_of(each) == group] for group in ("correct", "single", "double")}
    surprises = render_surprises(graded)
    assert all(each.accepted and each.diagnosis is None for each in groups["correct"]), surprises
    assert not any(each.accepted for group in ("single", "double") for each in groups[group]), surprises
    assert render_table(graded) in GUIDE.read_text(encoding="utf-8"), "python -m tests.misconceptions.confusion --write"
    for group, share in (("single", 0.95), ("double", 0.70)):
        right = sum(each.outcome == "right" for each in groups[group])
        assert right >= share * len(groups[group]), surprises
