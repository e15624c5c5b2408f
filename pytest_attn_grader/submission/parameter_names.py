"""The usual names of attention's arguments, and the role that each name stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_attn_grader.submission.size_names import SIZE_NAMES

ROLE_NAMES: dict[str, frozenset[str]] = {
    "query": frozenset(
        {
            "q", "query", "queries", "query_states", "query_layer", "q_in", "qs", "q_s", "query_input", "input_q",
            "x_q", "xq",
        }
    ),
    "key": frozenset(
        {"k", "key", "keys", "key_states", "key_layer", "k_in", "ks", "k_s", "key_input", "input_k", "x_k", "xk"}
    ),
    "value": frozenset(
        {
            "v", "value", "values", "value_states", "value_layer", "val", "v_in", "vs", "v_s", "value_input", "input_v",
            "x_v", "xv",
        }
    ),
    "mask": frozenset(
        {
            "mask", "attn_mask", "attention_mask", "keep_mask", "causal_mask", "src_mask", "tgt_mask", "m",
            "additive_mask",
            "masks", "future_mask", "look_ahead_mask", "lookahead_mask", "self_attn_mask", "input_mask", "source_mask",
            "target_mask", "trg_mask", "dec_mask", "enc_mask", "seq_mask", "bool_mask", "subsequent_mask", "attn_masks",
        }
    ),
    "dropout_p": frozenset(
        {
            "dropout", "dropout_p", "p", "p_drop", "p_dropout", "drop_p", "attn_dropout", "attention_dropout",
            "dropout_rate", "dropout_prob", "drop_rate", "drop_prob", "drop", "dropout_layer", "dropout_fn",
        }
    ),
    "training": frozenset({"training", "train", "is_training"}),
}  # fmt: skip

HIDDEN_STATES = frozenset(
    {
        "x", "hidden_states", "hidden", "inputs", "input", "embeddings", "tokens", "states", "xs", "inp", "h", "emb",
        "embedding", "embedded", "input_tensor", "token_embeddings", "input_embeddings", "hidden_state", "x_in", "seq",
        "input_states", "features", "feats", "in_features", "data", "src", "sequence", "e", "embeds", "inputs_embeds",
    }
)  # fmt: skip
# The text that keys and values are made from, in a forward that takes it beside the queries'.
KEY_TEXTS = frozenset(
    {
        "kv", "x_kv", "kv_x", "key_value", "keys_values", "kv_states", "key_value_states", "kv_input", "context", "ctx",
        "memory", "encoder_output", "encoder_outputs", "encoder_out", "encoder_hidden_states", "enc_output", "enc_out",
        "enc_outputs", "encoder_states", "context_states", "source", "cond", "y",
    }
)  # fmt: skip
# Weights and biases as arguments of a function, by what they project to.
_SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "q": ("query", "q", "queries"),
    "k": ("key", "k", "keys"),
    "v": ("value", "v", "values"),
    "qkv": ("qkv", "kqv", "query_key_value", "c_attn", "in_proj"),
    "o": ("output", "out", "o", "c_proj", "out_proj"),
}
_WEIGHT_PATTERNS = (
    "w_{}", "w{}", "{}_w", "weight_{}", "{}_weight", "{}_proj", "{}_weights", "{}_matrix", "{}_proj_weight",
    "w_{}_proj",
)  # fmt: skip
_BIAS_PATTERNS = ("b_{}", "b{}", "{}_b", "bias_{}", "{}_bias", "{}_biases")
PROJECTION_WEIGHTS: dict[str, frozenset[str]] = {
    f"w_{short}": frozenset(pattern.format(each) for pattern in _WEIGHT_PATTERNS for each in names)
    for short, names in _SHORT_NAMES.items()
}
PROJECTION_BIASES: dict[str, frozenset[str]] = {
    f"b_{short}": frozenset(pattern.format(each) for pattern in _BIAS_PATTERNS for each in names)
    for short, names in _SHORT_NAMES.items()
}
# Only of functions: a module knows its own sizes. Names that are those of hidden states as often are left out.
_STATES_OR_SIZES = {"h", "emb", "features", "in_features", "hidden", "t"}
SIZES: dict[str, frozenset[str]] = {
    role: frozenset(names) - _STATES_OR_SIZES
    for role, names in {
        # Of keys and values too: the weights that are passed have as many heads of them as of queries.
        "num_heads": (
            *SIZE_NAMES["heads"],
            *(name for name in SIZE_NAMES["key_value_heads"] if re.search("kv|key_value", name)),
        ),
        **{role: SIZE_NAMES[role] for role in ("head_dim", "width", "context", "rotary_base")},
    }.items()
}

KEY_PADDING_MASKS = frozenset(
    {
        "key_padding_mask", "padding_mask", "pad_mask", "src_key_padding_mask", "key_mask", "valid_mask",
        "lengths_mask",
        "src_padding_mask", "pad_masks", "padding_masks", "attn_padding_mask", "encoder_padding_mask",
        "key_pad", "key_padding", "padding", "pad", "is_pad", "is_padding", "src_pad", "src_padding",
    }
)  # fmt: skip
# Of padded queries, whose outputs are not read; attention needs a mask of the keys.
QUERY_MASKS = frozenset({"query_mask", "q_mask", "query_padding_mask", "q_padding_mask", "queries_mask"})
VALID_LENS = frozenset(
    {"valid_lens", "valid_len", "valid_length", "valid_lengths", "lengths", "seq_lens", "seq_lengths", "lens"}
)
RETURN_WEIGHTS = frozenset(
    {
        "return_weights", "need_weights", "return_attention", "return_attn", "output_attentions",
        "return_attention_weights", "return_attn_weights", "return_attention_scores", "output_attention",
        "return_scores", "return_probs", "need_attention", "need_attn", "return_attns", "with_weights",
    }
)  # fmt: skip
# Of a function's switch that says that keys and values have fewer heads than queries.
GROUP_FLAGS = frozenset({"enable_gqa", "use_gqa", "gqa", "is_gqa", "grouped", "grouped_query", "is_grouped"})
_MORE_MASKS = frozenset({"padding_mask_4d", "attn_bias", "bias_mask"})
# How many queries or keys a function works on at a time.
BLOCK_SIZE = re.compile(r"(\w+_)?(block|chunk|tile)s?(_(size|rows|cols|[qkmn]|kv|size_\w+))?|b_?[rcqk]")
POSITIONS = frozenset({"position_ids", "positions", "token_positions", "input_pos", "start_pos", "pos", "pos_ids"})

# Keys and values of earlier tokens, which a model keeps while it generates.
CACHES = frozenset(
    {
        "kv_cache", "cache", "layer_past", "past_key_value", "past_key_values", "past_kv", "past_kvs", "past",
        "kv_caches", "layer_cache", "cached_kv", "past_kv_cache", "prev_kv", "past_keys_values",
    }
)  # fmt: skip
# A switch that makes a call keep or return its keys and values.
CACHE_FLAGS = frozenset({"use_cache", "use_kv_cache", "use_caching", "cache_kv", "return_cache", "return_kv"})

# The layer that a function belongs to, where it is an argument: attend(module, query, key, value, …).
LAYERS = frozenset(
    {"module", "self", "layer", "attn_module", "attention_module", "attn_layer", "attention_layer", "mod"}
)

# A parameter that is called one of these is a number or a switch: it is not taken for a mask, wherever it stands.
NEVER_A_MASK = frozenset(
    {
        "scale", "scaling", "temperature", "d_k", "dk", "dim", "d_model", "head_dim", "num_heads", "n_heads",
        "is_causal", "causal", "eps", "return_weights", "need_weights", "device", "dtype",
    }
)  # fmt: skip
# Of what the scores are multiplied by, and of what bounds them.
SCALES = frozenset({"scale", "scaling", "softmax_scale", "sm_scale", "attn_scale", "scale_factor", "scaling_factor"})
CAPS = frozenset({"softcap", "soft_cap", "logits_soft_cap", "logit_softcap", "logit_cap", "logits_cap", "attn_softcap"})
# Of a flag that hides the future when it is on.
CAUSAL_FLAGS = frozenset(
    {"causal", "is_causal", "use_causal_mask", "autoregressive", "masked", "apply_causal_mask", "use_mask", "is_masked"}
)

_SHORT_CLASS_NAMES = frozenset({"mha", "mhsa", "msa", "gqa", "mqa", "sdpa", "csa", "mla", "attend", "attender"})


def role_of(name: str) -> str | None:
    """query, key, value, mask, dropout_p, training, or None for a name that says nothing."""
    plain = name.lower().strip("_")
    return next((role for role, names in ROLE_NAMES.items() if plain in names), None)


def hidden_states_role(name: str) -> str | None:
    """The same for what takes hidden states: also hidden_states, key_padding_mask, valid_lens, return_weights."""
    plain = name.lower().strip("_")
    for role, names in (
        ("hidden_states", HIDDEN_STATES),
        ("key_padding_mask", KEY_PADDING_MASKS),
        ("valid_lens", VALID_LENS),
        ("return_weights", RETURN_WEIGHTS),
        ("mask", _MORE_MASKS),
    ):
        if plain in names:
            return role
    found = role_of(name)
    return "mask" if found is None and plain.endswith("mask") and plain not in QUERY_MASKS else found


def projection_role(name: str) -> str | None:
    """w_q, w_k, w_v, w_qkv, w_o, the same with b_, or a key of `SIZES`; None for anything else."""
    plain = name.lower().strip("_")
    roles = {**PROJECTION_WEIGHTS, **PROJECTION_BIASES, **SIZES}
    return next((role for role, names in roles.items() if plain in names), None)


def longer_projection_role(name: str) -> str | None:
    """w_q, b_q, … for a name that begins or ends with a usual one: multi_head_w_q, wq_self."""
    words = name.lower().strip("_").split("_")
    parts = ["_".join(part) for size in range(1, len(words)) for part in (words[:size], words[-size:])]
    roles = {**PROJECTION_WEIGHTS, **PROJECTION_BIASES}
    return next((role for part in parts for role, names in roles.items() if part in names), None)


def is_projected(names: Iterable[str]) -> bool:
    """Whether a function with these parameters projects: it takes three of text and weights, or text and all in one.

    One of several weights may be missing: then a message can say which.
    """
    roles = [projection_role(name) or hidden_states_role(name) or longer_projection_role(name) for name in names]
    found = [role for role in roles if role == "hidden_states" or (role or "")[:2] in {"w_", "b_"}]
    return len(found) >= 3 or {"hidden_states", "w_qkv"} <= set(found)


def looks_like_attention(name: str) -> bool:
    """Whether a class is called as attention is; of a nested class the last part of its name says so."""
    name = name.removesuffix(".forward").rpartition(".")[2]
    if any(word in name.lower() for word in ("attention", "attn", "head", "multi")):
        return True
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+", name)
    return any(word.lower() in _SHORT_CLASS_NAMES for word in words)


# role -> names of parameters, in lower case
ROTARY_ROLES: dict[str, frozenset[str]] = {
    "rotary_cos": frozenset({"cos", "freqs_cos", "rope_cos", "cos_table", "cos_cached", "rotary_cos"}),
    "rotary_sin": frozenset({"sin", "freqs_sin", "rope_sin", "sin_table", "sin_cached", "rotary_sin"}),
    "rotary_pair": frozenset({"cos_sin", "position_embeddings", "rotary_pos_emb", "rope", "freqs_cos_sin"}),
    "rotary_complex": frozenset({"freqs_cis", "freqs_complex", "freqs_c"}),
    "rotary_positions": frozenset({"position_ids", "token_positions", "input_pos", "positions", "pos_ids"}),
    "rotary_start": frozenset(
        {"start_pos", "start_position", "pos_offset", "position_offset", "cur_pos", "past_len", "cache_len"}
    ),
}
# Tables that are passed although they have a default: without them most modules do not rotate at all.
TABLES = frozenset({"rotary_cos", "rotary_sin", "rotary_complex", "rotary_pair"})
# Other objects of rotary positions, which are never passed.
ROTARY_OBJECTS = frozenset({"freqs", "rotary_emb", "rope_cache", "pos_emb"})


def rotary_role(name: str) -> str | None:
    """The role of a parameter that takes rotary positions; None for any other."""
    plain = name.lower().strip("_")
    role = next((role for role, names in ROTARY_ROLES.items() if plain in names), None)
    # cos_emb, freq_sin, rope_cos_sin
    said = {"cos", "sin"} & {*plain.split("_")}
    return role or ("rotary_pair" if len(said) > 1 else f"rotary_{said.pop()}" if said else None)
