"""The usual names of the arguments for rotary positions. Imports no torch."""

from __future__ import annotations

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
OPTIONAL_TABLES = frozenset({"rotary_cos", "rotary_sin", "rotary_complex"})
TABLES = OPTIONAL_TABLES | {"rotary_pair"}


def rotary_role(name: str) -> str | None:
    """The role of a parameter that takes rotary positions; None for any other."""
    plain = name.lower().strip("_")
    role = next((role for role, names in ROTARY_ROLES.items() if plain in names), None)
    # cos_emb, freq_sin, rope_cos_sin
    said = {"cos", "sin"} & {*plain.split("_")}
    return role or ("rotary_pair" if len(said) > 1 else f"rotary_{said.pop()}" if said else None)
