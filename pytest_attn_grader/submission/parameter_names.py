"""What people call the arguments of attention, and what each name means here."""

from __future__ import annotations

from collections.abc import Iterable

ROLE_NAMES: dict[str, frozenset[str]] = {
    "query": frozenset({"q", "query", "queries", "query_states", "query_layer", "q_in", "qs"}),
    "key": frozenset({"k", "key", "keys", "key_states", "key_layer", "k_in", "ks"}),
    "value": frozenset({"v", "value", "values", "value_states", "value_layer", "val", "v_in", "vs"}),
    "mask": frozenset(
        {
            "mask",
            "attn_mask",
            "attention_mask",
            "keep_mask",
            "causal_mask",
            "src_mask",
            "tgt_mask",
            "m",
            "additive_mask",
        }
    ),
    "dropout_p": frozenset(
        {
            "dropout",
            "dropout_p",
            "p",
            "p_drop",
            "p_dropout",
            "drop_p",
            "attn_dropout",
            "attention_dropout",
            "dropout_rate",
        }
    ),
    "training": frozenset({"training", "train", "is_training"}),
}

HIDDEN_STATES = frozenset(
    {"x", "hidden_states", "hidden", "inputs", "input", "embeddings", "tokens", "states", "xs", "inp", "h", "emb"}
)
# Weights and biases as arguments of a function, by what they project to.
_SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "q": ("query", "q", "queries"),
    "k": ("key", "k", "keys"),
    "v": ("value", "v", "values"),
    "qkv": ("qkv", "kqv", "query_key_value", "c_attn", "in_proj"),
    "o": ("output", "out", "o", "c_proj", "out_proj"),
}
_WEIGHT_PATTERNS = ("w_{}", "w{}", "{}_w", "weight_{}", "{}_weight", "{}_proj", "{}_weights", "{}_matrix")
_BIAS_PATTERNS = ("b_{}", "b{}", "{}_b", "bias_{}", "{}_bias", "{}_biases")
PROJECTION_WEIGHTS: dict[str, frozenset[str]] = {
    f"w_{short}": frozenset(pattern.format(each) for pattern in _WEIGHT_PATTERNS for each in names)
    for short, names in _SHORT_NAMES.items()
}
PROJECTION_BIASES: dict[str, frozenset[str]] = {
    f"b_{short}": frozenset(pattern.format(each) for pattern in _BIAS_PATTERNS for each in names)
    for short, names in _SHORT_NAMES.items()
}
# Only of functions with projections: a module knows its own sizes.
_SIZES: dict[str, frozenset[str]] = {
    "num_heads": frozenset({"num_heads", "n_heads", "n_head", "heads", "nhead", "num_attention_heads", "nheads"}),
    "head_dim": frozenset({"head_dim", "d_k", "dk", "d_head", "dim_head", "head_size"}),
}

KEY_PADDING_MASKS = frozenset(
    {"key_padding_mask", "padding_mask", "pad_mask", "src_key_padding_mask", "key_mask", "valid_mask", "lengths_mask"}
)
RETURN_WEIGHTS = frozenset(
    {
        "return_weights",
        "need_weights",
        "return_attention",
        "return_attn",
        "output_attentions",
        "return_attention_weights",
        "return_attn_weights",
    }
)
_MORE_MASKS = frozenset({"padding_mask_4d", "attn_bias", "src_mask", "tgt_mask", "bias_mask", "lookahead_mask"})

# A parameter that is called one of these wants a number or a switch: it is not taken for a mask, wherever it stands.
NEVER_A_MASK = frozenset(
    {
        "scale",
        "scaling",
        "temperature",
        "d_k",
        "dk",
        "dim",
        "d_model",
        "head_dim",
        "num_heads",
        "n_heads",
        "is_causal",
        "causal",
        "eps",
        "return_weights",
        "need_weights",
        "device",
        "dtype",
    }
)


def role_of(name: str) -> str | None:
    """query, key, value, mask, dropout_p, training, or None for a name that says nothing."""
    plain = name.lower().strip("_")
    return next((role for role, names in ROLE_NAMES.items() if plain in names), None)


def hidden_states_role(name: str) -> str | None:
    """The same for what takes hidden states: also hidden_states, key_padding_mask, return_weights."""
    plain = name.lower().strip("_")
    for role, names in (
        ("hidden_states", HIDDEN_STATES),
        ("key_padding_mask", KEY_PADDING_MASKS),
        ("return_weights", RETURN_WEIGHTS),
        ("mask", _MORE_MASKS),
    ):
        if plain in names:
            return role
    return role_of(name)


def projection_role(name: str) -> str | None:
    """w_q, w_k, w_v, w_qkv, w_o, the same with b_, num_heads or head_dim; None for anything else."""
    plain = name.lower().strip("_")
    roles = {**PROJECTION_WEIGHTS, **PROJECTION_BIASES, **_SIZES}
    return next((role for role, names in roles.items() if plain in names), None)


def is_projected(names: Iterable[str]) -> bool:
    """Whether a function with these parameters means to project: three of text and weights, or the text and all in one.

    One of several weights may be missing: then a message can say which.
    """
    roles = [projection_role(name) or hidden_states_role(name) for name in names]
    found = [role for role in roles if role == "hidden_states" or (role or "")[:2] in {"w_", "b_"}]
    return len(found) >= 3 or {"hidden_states", "w_qkv"} <= set(found)


def is_dropout(name: str) -> bool:
    """Whether a constructor's parameter is a probability of dropout."""
    plain = name.lower()
    return "drop" in plain or plain in {"pdrop", "p"}


def looks_like_attention(name: str) -> bool:
    """Whether a class is called as attention is."""
    return any(word in name.lower() for word in ("attention", "attn", "head"))
