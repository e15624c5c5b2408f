"""What the constructor of a student's module is given: the usual sizes, under whatever names it has for them."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.base import EvidenceValue
from pytest_attn_grader.sandbox.messages import Candidate, ConfigObject, LiteralArgument
from pytest_attn_grader.submission.parameter_names import is_dropout

_NAMES: dict[str, frozenset[str]] = {
    "width": frozenset(
        [
            "d_model",
            "dmodel",
            "model_dim",
            "dim_model",
            "embed_dim",
            "emb_dim",
            "embedding_dim",
            "embed_size",
            "emb_size",
            "embedding_size",
            "n_embd",
            "n_embed",
            "d_embed",
            "hidden_size",
            "hidden_dim",
            "hidden",
            "dim",
            "d_in",
            "in_features",
            "in_dim",
            "input_dim",
            "dim_in",
            "in_channels",
            "channels",
            "d_hidden",
            "c",
            "d",
            "emb",
            "width",
            "features",
            "n_state",
            "model_size",
            "feature_dim",
            "embed",
            "n_emb",
            "token_dim",
            "num_hiddens",
        ]
    ),
    "out": frozenset(
        ["d_out", "out_features", "out_dim", "output_dim", "dim_out", "output_size", "proj_dim", "d_proj"]
    ),
    "heads": frozenset(
        [
            "num_heads",
            "n_head",
            "n_heads",
            "heads",
            "h",
            "nhead",
            "nheads",
            "num_attention_heads",
            "nb_heads",
            "num_head",
            "n_h",
            "number_of_heads",
        ]
    ),
    "head_dim": frozenset(
        [
            "head_dim",
            "d_head",
            "dim_head",
            "head_size",
            "d_k",
            "d_v",
            "d_q",
            "dk",
            "dv",
            "dq",
            "dim_k",
            "dim_v",
            "dim_q",
            "key_dim",
            "value_dim",
            "query_dim",
            "qk_dim",
            "k_dim",
            "v_dim",
            "q_dim",
            "depth",
            "size_per_head",
            "key_size",
            "query_size",
            "value_size",
        ]
    ),
    "context": frozenset(
        [
            "context_length",
            "block_size",
            "max_len",
            "max_seq_len",
            "max_seq_length",
            "max_length",
            "ctx_len",
            "n_ctx",
            "seq_len",
            "sequence_length",
            "context_size",
            "max_position_embeddings",
            "n_positions",
            "max_positions",
            "context",
            "max_tokens",
            "max_context",
            "t",
        ]
    ),
    "bias": frozenset(
        ["bias", "qkv_bias", "use_bias", "attn_bias", "add_bias", "has_bias", "proj_bias", "out_bias", "attention_bias"]
    ),
    "causal": frozenset(["causal", "is_causal", "use_causal_mask", "autoregressive", "masked"]),
    "batch_first": frozenset({"batch_first"}),
    "key_value_heads": frozenset(["num_key_value_heads", "n_kv_heads", "num_kv_heads"]),
    "layer": frozenset(["layer_idx", "layer_id", "layer"]),
    "temperature": frozenset({"temperature", "temp", "sqrt_d_k"}),
    "config": frozenset(
        [
            "config",
            "cfg",
            "conf",
            "args",
            "hparams",
            "hps",
            "params",
            "model_args",
            "configuration",
            "opts",
            "options",
            "settings",
        ]
    ),
}
SIZE_ROLES = frozenset({"width", "out", "heads", "head_dim", "temperature", "config"})


@dataclass(frozen=True)
class Sizes:
    """How large a module is wanted. Widths in features, `context_tokens` in tokens."""

    width: int
    num_heads: int
    head_dim: int
    context_tokens: int = 1024
    dropout_p: float = 0.0


@dataclass(frozen=True)
class Arguments:
    """Keyword arguments of a constructor, all plain values but a config object, and how messages show them."""

    by_name: dict[str, LiteralArgument | ConfigObject]

    @property
    def key(self) -> str:
        """Tells two calls of a constructor apart."""
        return str({name: value.to_json() for name, value in self.by_name.items()})

    @property
    def shown(self) -> dict[str, EvidenceValue]:
        """As the report has them; a config object is shown by what is read from it."""
        return {
            name: "(a config object)" if isinstance(value, ConfigObject) else value.value
            for name, value in self.by_name.items()
        }

    def __str__(self) -> str:
        shown = [f"{name}={_shown(value)}" for name, value in self.by_name.items()]
        return ", ".join(shown)


def _shown(argument: LiteralArgument | ConfigObject) -> str:
    return "config" if isinstance(argument, ConfigObject) else repr(argument.value)


def role_of_size(name: str) -> str | None:
    """Which size a constructor's parameter asks for, by its name."""
    plain = name.lower().strip("_")
    if is_dropout(plain):
        return "dropout"
    return next((role for role, names in _NAMES.items() if plain in names), None)


def roles_of(candidate: Candidate) -> frozenset[str]:
    """The sizes that a constructor lets its caller choose."""
    return frozenset(role for each in candidate.parameters if (role := role_of_size(each.name)) is not None)


def is_resizable(candidate: Candidate) -> bool:
    """Whether a module of any size can be made; else it has the size that its constructor gives it."""
    return candidate.kind == "module-class" and bool(roles_of(candidate) & SIZE_ROLES or _unnamed_config(candidate))


def splits_heads(candidate: Candidate) -> bool:
    """Whether the constructor is told a number of heads; else the module is taken for a single head."""
    roles = roles_of(candidate)
    return bool(roles & {"heads", "config"}) or _unnamed_config(candidate) is not None


def _unnamed_config(candidate: Candidate) -> str | None:
    """A single required parameter of no known name may be a config object."""
    required = [each for each in candidate.parameters if not each.has_default and not each.kind.startswith("var-")]
    if len(required) == 1 and role_of_size(required[0].name) is None:
        return required[0].name
    return None


def arguments_for(candidate: Candidate, sizes: Sizes) -> Arguments:
    """Fill a constructor.

    Raises:
        SubmissionError: `no-target`, it asks for something the grader has no value for; the message names it.
    """
    values = {
        "width": sizes.width,
        "out": sizes.num_heads * sizes.head_dim,
        "heads": sizes.num_heads,
        "key_value_heads": sizes.num_heads,
        "head_dim": sizes.head_dim,
        "context": sizes.context_tokens,
        "dropout": sizes.dropout_p,
        "bias": True,
        "causal": True,
        "batch_first": True,
        "layer": 0,
        # What scores are divided by.
        "temperature": sizes.head_dim**0.5,
    }
    filled: dict[str, LiteralArgument | ConfigObject] = {}
    unknown = []
    for parameter in candidate.parameters:
        role = role_of_size(parameter.name)
        if parameter.kind.startswith("var-"):
            continue
        if role == "config" or parameter.name == _unnamed_config(candidate):
            filled[parameter.name] = config_object(sizes)
        elif role is not None and not _left_alone(role, parameter.has_default, parameter.default):
            filled[parameter.name] = LiteralArgument(values[role])
        elif role is None and not parameter.has_default:
            unknown.append(parameter.name)
    if unknown:
        raise SubmissionError(
            "no-target",
            f"{candidate.signature} cannot be constructed: the grader has no value for {' and '.join(unknown)}. It "
            "knows the width (d_model, embed_dim, n_embd, hidden_size, d_in, …), the heads (num_heads, n_head, h, …), "
            "head_dim, context_length, dropout, bias, and a config object with these.",
            remedy=f"Give {' and '.join(unknown)} a default, or one of these names.",
            where=None if candidate.file is None else f"{candidate.file}:{candidate.line}",
        )
    return Arguments(filled)


def _left_alone(role: str, has_default: bool, default: str | None) -> bool:
    """A default of None means "work it out yourself" (head_dim=None); one of 1 for a temperature, "change nothing"."""
    by_itself = {"head_dim", "out", "key_value_heads", "layer"}
    return has_default and (role == "temperature" or (default == "None" and role in by_itself))


def config_object(sizes: Sizes) -> ConfigObject:
    """Answers to every name that is known here."""
    known: dict[str, float | str | bool | None] = {}
    values: dict[str, float | bool] = {
        "width": sizes.width,
        "out": sizes.num_heads * sizes.head_dim,
        "heads": sizes.num_heads,
        "key_value_heads": sizes.num_heads,
        "head_dim": sizes.head_dim,
        "context": sizes.context_tokens,
        "bias": True,
        "causal": True,
        "batch_first": True,
        "layer": 0,
    }
    for role, value in values.items():
        known |= dict.fromkeys(sorted(_NAMES[role]), value)
    dropouts = (
        "dropout attn_pdrop resid_pdrop embd_pdrop attn_dropout resid_dropout attention_dropout dropout_p drop_rate "
    )
    dropouts += "dropout_rate attention_probs_dropout_prob hidden_dropout_prob drop p_drop pdrop residual_dropout"
    known |= dict.fromkeys(dropouts.split(), sizes.dropout_p)
    known |= {"vocab_size": 256, "n_layer": 1, "num_layers": 1, "n_layers": 1, "flash": False, "device": "cpu"}
    return ConfigObject(known)
