"""The usual names of an attention's constructor arguments and configuration attributes, by meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence

SIZE_NAMES: dict[str, tuple[str, ...]] = {
    # Features of the hidden states.
    "width": (
        "d_model", "dmodel", "dm", "model_dim", "dim_model", "model_dimension", "model_size", "embed_dim",
        "embd_dim", "emb_dim", "embedding_dim", "embedding_dimension", "embed_dimension", "embeddings_dim",
        "embed_size", "emb_size", "embd_size", "embedding_size", "embeddings_size", "n_embd", "n_embed", "n_emb",
        "num_embed",
        "num_embd", "d_embed", "d_embd", "d_emb", "embed", "emb", "embd", "hidden_size", "hidden_dim", "hid_dim",
        "hid_size", "hidden_dims", "hidden_units", "num_hidden", "num_hiddens", "n_hidden", "hidden_features", "hidden",
        "hidden_channels", "d_hidden", "d_hid", "n_units", "units", "num_units", "dim", "dims", "d", "c", "in_features",
        "in_dim", "input_dim", "dim_in", "input_size", "in_size", "d_in", "d_input", "input_dims", "in_channels",
        "channels", "n_channels", "num_channels", "width", "features", "num_features", "n_features", "feature_dim",
        "feature_size", "d_feature", "d_features", "n_state", "state_size", "token_dim", "token_size", "word_dim",
        "residual_dim", "input_dimension", "in_dimension", "dimension", "dimensions", "embeddings_dimension",
        "resid_dim", "d_resid", "n_dim", "ndim", "num_dim", "size", "qdim", "kdim", "vdim",
        "n_inputs", "num_inputs", "n_input", "n_in",
        "n_feat", "n_feats", "num_feats", "feat_dim", "adim", "e_q", "e_k", "e_v", "e_dim", "nx", "n_x",
    ),
    # Features of the output, or of the heads side by side.
    "out": (
        "d_out", "out_features", "out_dim", "output_dim", "dim_out", "output_size", "out_size", "d_output", "proj_dim",
        "output_dimension",
        "d_proj", "out_channels", "inner_dim", "all_head_size", "attn_dim", "attention_dim", "d_attn", "attention_size",
        "projection_dim", "qkv_dim", "d_attention", "e_total", "total_dim", "e_out",
    ),
    "heads": (
        "num_heads", "n_head", "n_heads", "heads", "h", "nhead", "nheads", "num_attention_heads", "nb_heads",
        "num_head", "n_h", "number_of_heads", "head_num", "head_count", "heads_num", "num_attn_heads",
        "n_attn_heads", "nr_heads", "heads_count",
        "attention_heads", "attn_heads", "head", "n_attention_heads", "encoder_attention_heads", "no_heads",
        "num_q_heads", "n_q_heads", "num_query_heads", "n_query_heads", "nh", "multi_head", "num_multi_heads",
    ),
    # Of groups of query heads that share a key and a value.
    "key_value_heads": (
        "num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_kv_head", "kv_heads", "num_kv_groups", "n_kv_groups",
        "num_query_groups", "num_groups", "n_groups", "n_query_groups", "multi_query_group_num", "n_kv", "num_kv",
        "nkv_heads", "groups", "kv_head", "n_key_value_heads", "num_kv_head", "n_local_heads", "num_k_heads",
        "nkv_groups", "kv_n_heads", "n_heads_kv", "num_heads_kv", "num_key_value_head", "n_head_kv",
    ),
    # How many query heads share a key and a value.
    "group_size": ("n_rep", "num_rep", "q_per_kv", "queries_per_kv", "num_queries_per_kv", "group_size"),
    # The base of the angles of rotary positions.
    "rotary_base": (
        "theta", "rope_theta", "theta_base", "rope_base", "base", "rotary_base", "rotary_theta", "rope_theta_base",
        "theta_rope", "rotary_emb_base", "rope_freq_base", "base_theta",
    ),
    "head_dim": (
        "head_dim", "d_head", "dim_head", "head_size", "head_dimension", "dim_per_head", "d_per_head", "d_k", "d_v",
        "d_q", "dk", "dv", "dq", "dim_k", "dim_v", "dim_q", "key_dim", "value_dim", "query_dim", "qk_dim", "k_dim",
        "v_dim", "q_dim", "d_key", "d_value", "d_query", "d_keys", "d_values", "d_queries", "depth", "size_per_head",
        "per_head_dim", "head_features", "attention_head_size", "head_width", "head_hidden_size", "kv_channels",
        "head_channels", "d_kv", "dim_key", "dim_value", "dim_query", "qk_head_dim", "v_head_dim", "hs",
        "d_val", "val_dim", "kq_dim", "kq_dimension", "qk_dimension", "q_dimension", "k_dimension", "v_dimension",
    ),
    # As a projection's input or output: the width where there is no other width, else a head's.
    "either": ("key_size", "query_size", "value_size"),
    "context": (
        "context_length", "block_size", "max_len", "max_seq_len", "max_seq_length", "max_length", "ctx_len", "n_ctx",
        "seq_len", "sequence_length", "context_size", "max_position_embeddings", "n_positions", "max_positions",
        "context", "max_tokens", "max_context", "t", "seq_length", "seq_size", "context_window", "context_len",
        "max_context_length", "max_sequence_length", "maxlen", "num_tokens", "n_tokens", "ctx",
        "ctx_size", "ctx_length", "max_seqlen", "seqlen", "max_seq", "max_target_positions", "num_positions", "max_pos",
        "max_block_size", "supported_context_length", "max_token_len", "sentence_length", "text_len", "length",
    ),
    "bias": (
        "bias", "qkv_bias", "use_bias", "attn_bias", "add_bias", "has_bias", "proj_bias", "out_bias", "attention_bias",
        "use_qkv_bias", "enable_bias", "linear_bias", "q_bias", "k_bias", "v_bias", "kv_bias", "add_bias_linear",
        "with_bias", "include_bias", "output_bias", "in_proj_bias", "out_proj_bias", "bias_qkv", "qkvbias",
    ),
    # A switch that hides the future.
    "causal": (
        "causal", "is_causal", "use_causal_mask", "autoregressive", "masked", "mask", "causal_mask", "is_decoder",
        "decoder", "use_mask", "is_masked", "apply_mask", "causality", "unidirectional", "mask_future", "future_mask",
        "masking", "is_autoregressive", "with_mask", "use_causal", "causal_attention", "attn_mask", "auto_regressive",
        "add_mask", "decoder_mask", "mask_flag", "with_causal_mask", "add_causal_mask", "has_mask", "masked_attention",
    ),
    "batch_first": ("batch_first",),
    # How many keys a query sees.
    "sliding_window": (
        "sliding_window", "window_size", "window", "local_window", "sliding_window_size", "attention_window",
        "local_window_size", "attn_window", "window_length", "window_len", "win_size", "swa_window", "local_size",
        "sliding_window_length", "local_attention_window", "sliding_size", "lookback",
    ),
    # A switch for norms of query and key.
    "query_key_norm": (
        "qk_norm", "use_qk_norm", "qknorm", "qk_layernorm", "use_qk_layernorm", "qk_rmsnorm", "use_qknorm",
        "normalize_qk", "norm_qk", "qk_normalization", "query_key_norm", "with_qk_norm", "apply_qk_norm",
    ),
    # A switch for rotary positions.
    "rotary": (
        "use_rope", "use_rotary", "with_rope", "apply_rope", "use_rotary_emb", "use_rotary_embeddings", "enable_rope",
        "use_rotary_embedding", "is_rope", "has_rope", "use_rotary_pos_emb", "use_rotary_positions", "rope_enabled",
        "use_rotary_position_embeddings", "with_rotary", "is_rotary", "apply_rotary",
    ),
    "layer": ("layer_idx", "layer_id", "layer", "layer_index", "layer_number", "layer_num", "block_idx", "idx"),
    # A switch for the division of the scores.
    "scaled": (
        "scale", "scaled", "use_scale", "use_scaling", "scaling", "scale_scores", "scale_attn", "is_scaled",
        "with_scale", "apply_scale", "apply_scaling",
    ),
    # What scores are divided by.
    "temperature": ("temperature", "temp", "sqrt_d_k"),
    "device": ("device", "dev"),
    "dtype": ("dtype", "torch_dtype", "param_dtype", "params_dtype"),
    "config": (
        "config", "cfg", "conf", "args", "hparams", "hps", "params", "model_args", "configuration", "opts", "options",
        "settings", "model_config", "gpt_config", "arguments", "opt", "model_cfg", "hyperparameters", "hp", "hparam",
        "config_dict", "attn_config", "attention_config", "transformer_config", "cnf", "gptconfig",
    ),
}  # fmt: skip
DROPOUT_NAMES = (
    "dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "attn_dropout", "resid_dropout", "attention_dropout",
    "dropout_p", "drop_rate", "dropout_rate", "dropout_prob", "attention_probs_dropout_prob", "hidden_dropout_prob",
    "drop", "p_drop", "pdrop", "residual_dropout", "residual_pdrop", "proj_drop", "attn_drop", "dropout_probability",
    "dropout_ratio", "drop_prob", "attention_drop", "out_drop", "hidden_dropout", "p_dropout", "drop_p", "dropout_attn",
)  # fmt: skip
# Names in a configuration that no attention needs, and that its file may read all the same.
OTHER_VALUES: dict[str, float | str | bool | None] = {
    "vocab_size": 256, "n_layer": 1, "num_layers": 1, "n_layers": 1, "num_hidden_layers": 1, "device": "cpu",
    "layer_norm_eps": 1e-5, "layer_norm_epsilon": 1e-5, "norm_eps": 1e-5, "initializer_range": 0.02, "init_range": 0.02,
    "rms_norm_eps": 1e-6, "rms_eps": 1e-6, "init_std": 0.02, "batch_size": 1, "max_batch_size": 4, "flash": False,
    "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False,
    "rotary_pct": 1.0, "rotary_percentage": 1.0, "partial_rotary_factor": 1.0, "rope_scaling": None,
    "pretraining_tp": 1, "attn_logit_softcapping": None, "attn_logit_softcap": None, "clip_qkv": None,
    "r": 4, "rank": 4, "lora_rank": 4, "lora_r": 4, "lora_alpha": 4, "lora_dim": 4,
    "lora_dropout": 0.0,
    "position_embedding_type": "absolute", "_attn_implementation": "eager", "attn_implementation": "eager",
}  # fmt: skip

# attn_p and resid_p, but not top_p.
_RATE = re.compile(r"p|pdrop|(attn|attention|resid|residual|proj|out|emb|embd)_p(rob)?")
_EPSILON = re.compile(r"(\w+_)?eps(ilon)?")
_FLAG = re.compile(r"(use|is|enable|with|do|apply|has|log|return|need|output|add)_\w+|\w*(flash|lora|verbose|debug)\w*")
_WORDS: tuple[tuple[str, str], ...] = (
    ("context", r"(max|len|length|seq|sequence|ctx|context|block|position|positions)"),
    ("key_value_heads", r"(kv|group|groups)"),
    ("head_dim", r"head.*(dim|dimension|size|sz|width|features)|(dim|dimension|size|sz|width).*head"),
    ("heads", r"heads?"),
    ("out", r"(out|output|proj)"),
    (
        "width",
        r"(dim|dims|dimension|dimensions|size|sz|width|emb|embd|embed|embedding|hidden|hid|model|features?|channels|"
        r"units)",
    ),
)


def is_dropout(name: str) -> bool:
    """Whether a constructor's parameter is a probability of dropout."""
    plain = name.lower()
    return ("drop" in plain and "lora" not in plain) or _RATE.fullmatch(plain) is not None


def is_flag(name: str) -> bool:
    """Whether a name is that of a switch that can be left off."""
    return _FLAG.fullmatch(name.lower()) is not None


def other_value(name: str) -> float | str | bool | None:
    """The usual value of an argument that the attention does not need; None where nothing is known of it."""
    plain = name.lower().strip("_")
    return OTHER_VALUES.get(plain, OTHER_VALUES["norm_eps"] if _EPSILON.fullmatch(plain) else None)


def role_of_size(name: str) -> str | None:
    """Look up the size that a constructor's parameter or a configuration's attribute stands for."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
    if is_dropout(plain):
        return "dropout"
    return next((role for role, names in SIZE_NAMES.items() if plain in names), None)


def roles_by_name(names: Sequence[str]) -> dict[str, str | None]:
    """Look up the sizes that parameters stand for: beside a number of key/value heads, groups are their size."""
    roles = {name: role_of_size(name) for name in names}
    shared = [name for name, role in roles.items() if role == "key_value_heads"]
    groups = [name for name in shared if "group" in name.lower()]
    return roles | dict.fromkeys(groups if len(groups) < len(shared) else (), "group_size")


def guess_role_of_size(name: str) -> str | None:
    """Guess the size that a name outside the table stands for from the words in it."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return next((role for role, words in _WORDS if re.search(rf"(?:^|_){words}(?:_|$)", plain)), None)
