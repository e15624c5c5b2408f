"""Every known mistake, the most fundamental first: when several fit, the earlier one is reported first."""

from __future__ import annotations

import difflib

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.misconceptions.base import Misconception
from pytest_attn_grader.misconceptions.catalogue import (
    broken,
    caches,
    dropout,
    dropout_amount,
    dtype,
    grad,
    groups,
    heads,
    heads_shared,
    imports,
    layer_window,
    layers,
    loops,
    mask_fill,
    mask_meaning,
    mask_shape,
    norms,
    only_itself,
    padding,
    positions,
    residual,
    results,
    rotary,
    rounding,
    scale,
    score_limits,
    scores,
    shape,
    softmax,
    softmax_sums,
    softmax_variants,
    state,
    window,
    wiring,
)

MISCONCEPTIONS: tuple[Misconception, ...] = (
    broken.merge_conflict,
    broken.newer_python,
    broken.syntax_error,
    imports.needs_network,
    imports.import_fails,
    broken.config_attribute,
    layers.missing_super_init,
    layers.layer_not_called,
    broken.undefined_name,
    broken.mask_truth_value,
    broken.no_return,
    results.results_swapped,
    results.output_projection_unused,
    dtype.cuda_hard,
    shape.hard_length,
    shape.view_not_contiguous,
    loops.uninit_empty,
    softmax.no_softmax,
    softmax.softmax_query_axis,
    softmax.softmax_head_axis,
    softmax.softmax_batch_axis,
    softmax.softmax_flat,
    softmax_variants.double_softmax,
    softmax_variants.log_softmax,
    softmax_variants.max_wrong_axis,
    softmax_variants.missing_keepdim,
    softmax_sums.softmax_plus_one,
    only_itself.only_itself,
    scores.no_query_key,
    scale.no_scale,
    scale.scale_dk,
    scale.scale_twice,
    scale.scale_dmodel,
    scale.scale_inverted,
    scale.scale_after_softmax,
    scale.scale_seq,
    scale.scale_other,
    score_limits.soft_cap,
    score_limits.cap_after_mask,
    score_limits.clamped_scores,
    scores.cosine_scores,
    scores.qk_norm,
    scores.linear_attention,
    scores.additive_scores,
    scores.distance_scores,
    mask_meaning.no_causal_mask,
    mask_meaning.mask_discarded,
    mask_meaning.mask_inverted,
    mask_meaning.additive_as_bool,
    mask_meaning.bool_as_additive,
    dtype.mask_dtype_only_bool,
    mask_fill.mask_multiplied,
    mask_fill.mask_fill_zero,
    mask_fill.mask_fill_tiny,
    mask_fill.mask_fill_small,
    mask_fill.plus_inf_fill,
    mask_fill.inf_times_zero,
    mask_meaning.mask_after_softmax,
    mask_meaning.mask_after_softmax_neginf,
    mask_shape.mask_transposed,
    mask_shape.diag_off_strict,
    mask_shape.diag_off_loose,
    layer_window.window_ignored,
    layer_window.window_off_by_one,
    layer_window.window_size,
    layer_window.window_both_sides,
    window.sliding_window,
    window.top_k,
    window.alibi,
    padding.pad_ignored,
    padding.pad_wrong_axis,
    padding.mask_first_example,
    padding.mask_batch_as_head,
    padding.mask_repeat_order,
    mask_shape.square_mask_decode,
    mask_shape.sdpa_is_causal_topleft,
    mask_fill.mask_float_added_bias,
    wiring.k_for_v,
    wiring.states_for_v,
    wiring.kv_swapped,
    wiring.qk_swapped,
    wiring.q_only,
    wiring.elementwise_qk,
    wiring.qk_not_transposed,
    wiring.weights_transposed,
    wiring.wrong_variable,
    loops.last_token_loop,
    loops.batch_as_seq,
    loops.batch_first_forgotten,
    norms.norm_forgotten,
    norms.norm_wrong_axis,
    norms.norm_after_rotation,
    norms.norm_unweighted,
    norms.norm_centred,
    norms.norm_weights_swapped,
    rotary.rotary_value,
    rotary.rotary_one_side,
    rotary.rotary_offset,
    rotary.rotary_sign,
    rotary.rotary_pairs_mixed,
    rotary.rotary_model_width,
    rotary.rotary_theta,
    caches.cache_positions_restart,
    caches.cache_rotated_again,
    caches.cache_forgotten,
    positions.rotary_positions,
    positions.sinusoidal_positions,
    residual.residual_inside,
    residual.layernorm_inside,
    heads.split_view,
    heads.kt_view,
    heads.merge_view,
    heads.merge_dim_major,
    heads.head_order,
    heads.single_head,
    groups.groups_tiled,
    groups.groups_wrong_head,
    heads_shared.multi_query,
    heads_shared.split_dim_major,
    heads.heads_averaged,
    softmax.softmax_naive,
    softmax_variants.mask_renormalised,
    softmax_variants.online_no_rescale,
    softmax_variants.last_block_lost,
    grad.q_data,
    grad.weights_detached,
    grad.no_grad,
    grad.numpy_roundtrip,
    grad.tolist,
    rounding.rounded_results,
    state.inplace_input,
    state.inplace_saved,
    state.mask_mutated,
    state.stale_cache,
    dropout.dropout_eval,
    dropout.dropout_missing,
    dropout.dropout_before_softmax,
    dropout.dropout_on_output,
    dropout_amount.dropout_fixed_rate,
    dropout_amount.dropout_keeps_p,
    dropout_amount.dropout_divides_by_p,
    dropout_amount.dropout_no_rescale,
    dropout_amount.dropout_same_every_call,
    dropout_amount.dropout_shared,
    dtype.float32_mixed_in,
    dtype.cpu_scale_tensor,
    dtype.float_mask_promote,
    dtype.upcast_not_back,
    dtype.half_precision_inside,
    dtype.fp16_1e9,
)


def find_misconception(name: str) -> Misconception:
    """The mistake of this id or slug.

    Raises:
        UsageError: there is none; the message names those with a similar spelling.
    """
    wanted = name.strip().lower()
    for known in MISCONCEPTIONS:
        if wanted in {known.id.lower(), known.slug.lower()}:
            return known
    names = [known.slug for known in MISCONCEPTIONS] + [known.id for known in MISCONCEPTIONS]
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5) or difflib.get_close_matches(
        wanted.upper(), names, n=3, cutoff=0.5
    )
    if close:
        hint = f"Did you mean {' or '.join(close)}?"
    else:
        hint = f"There are {', '.join(known.slug for known in MISCONCEPTIONS)}."
    raise UsageError(f"There is no misconception {name!r}. {hint}")


def explain(name: str) -> str:
    """Everything there is to say about a mistake: the text of ``attn-grader explain ID``.

    Raises:
        UsageError: there is no mistake of this id or slug.
    """
    known = find_misconception(name)
    title, _, body = known.text.partition("\n")
    return f"{known.id} {known.slug}: an attention that {title}\n{body}"
