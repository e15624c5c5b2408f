"""Names of a module's parameters, and which projection each belongs to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from pytest_attn_grader.submission.remote.messages import RemoteParameter

_KIND = (
    r"(?:_?(?:proj|projection|lin|linear|w|weight|layer|net|fc|mat|matrix|matrice|transform|map|mapping|head|encoder|"
    r"embed|dense|param|conv)s?){0,2}"
)
_PREFIX = r"(?:(?:w|to|fc|lin|linear|proj|weight|in|attn|dense|conv|c)_?)?"
# Names of fused projections that say in which order they hold query, key and value.
_ORDERS = {
    separator.join(words): "".join(word[0] for word in words)
    for separator, names in (("", ("q", "k", "v")), ("_", ("q", "k", "v")), ("_", ("query", "key", "value")))
    for words in itertools.permutations(names)
}
# Tried in this order: "query_key_value" is no query.
ROLE_PATTERNS: tuple[tuple[str, str], ...] = (
    ("qkv", rf"{_PREFIX}(?:{'|'.join(_ORDERS)}|c_attn|attn_in|in_proj|qkvs|attn){_KIND}"),
    ("kv", rf"{_PREFIX}(?:kv|key_value|kvs){_KIND}"),
    ("q", rf"{_PREFIX}(?:q|qs|query|queries|wq){_KIND}"),
    ("k", rf"{_PREFIX}(?:k|ks|key|keys|wk){_KIND}"),
    ("v", rf"{_PREFIX}(?:v|vs|val|vals|value|values|wv){_KIND}"),
    (
        "o",
        rf"{_PREFIX}(?:o|out|output|c_proj|c|proj|wo|dense|unify(?:_?heads)?|final|combine|fc|linear|merge|mix|z){_KIND}",
    ),
)
# Two thin matrices whose product is added to a projection: lora_A and lora_B, or A and B, of all or of one projection.
_LOW_RANK = re.compile(
    r"(?:\w*lora_?(?:\w+_)?(?=\w+$)|(?=[ab](?:_|$)))(?P<side>a|b|down|up|left|right)(?:_(?:q|k|v|o|qkv|c|out|in))?"
)
# Names that say "a layer" as often as "the output projection": "query.linear" is the query's.
_WEAK = re.compile(r"(?:c|proj|dense|fc|linear|lin|z|layer|mix|map|net)s?")


def role_of_parameter(parameter: RemoteParameter) -> str | None:
    """By the last part of its path that says something: numbers and "weight" do not."""
    words = [part.strip("_") for part in parameter.name.lower().split(".")]
    parts = [part for part in words if not part.isdigit() and part != "weight"]
    weak: str | None = None
    for part in reversed(parts):
        plain = re.sub(r"_?weights?$", "", part) or part
        role = next(
            (each for each, pattern in ROLE_PATTERNS if re.fullmatch(pattern, plain) or re.fullmatch(pattern, part)),
            None,
        )
        numbered = re.sub(r"_?\d+$", "", part)  # q0, q1, …: one for each head
        role = role or next((each for each, pattern in ROLE_PATTERNS[2:5] if re.fullmatch(pattern, numbered)), None)
        if role is not None and not _WEAK.fullmatch(part):
            return role
        weak = weak or role
    return weak


def role_by_word(parameter: RemoteParameter) -> str | None:
    """By a word in the last part of its path: query_embedding, embed_for_q; of a norm or a position none."""
    words = re.split(r"_|(?<=[a-z])(?=[A-Z])", parameter.name.removesuffix(".weight").rpartition(".")[2])
    plain = "_".join(words).lower()
    if re.search(r"norm|ln|rms|pos|rel|rot|rope|scale|cache", plain):
        return role_of_parameter(parameter)
    found = {role for word in plain.split("_") for role, pattern in ROLE_PATTERNS[2:5] if re.fullmatch(pattern, word)}
    return found.pop() if len(found) == 1 else role_of_parameter(parameter)


def find_low_rank(parameters: Sequence[RemoteParameter]) -> list[RemoteParameter]:
    """The pairs of thin matrices whose product is added to a projection, as LoRA does; b_q alone is a bias."""
    sides: dict[str, tuple[list[RemoteParameter], list[RemoteParameter]]] = {}
    for parameter in parameters:
        parts = [part for part in parameter.name.lower().split(".") if part not in {"weight", "default"}]
        named = _LOW_RANK.fullmatch(parts[-1])
        if named is not None and len(parameter.shape) == 2:
            whole = ".".join([*parts[:-1], parts[-1][: named.start("side")], parts[-1][named.end("side") :]])
            sides.setdefault(whole, ([], []))[named["side"] in {"b", "up", "right"}].append(parameter)
    return [each for first, second in sides.values() if first and second for each in (*first, *second)]


def packing_order(name: str) -> str | None:
    """The order of query, key and value, if a fused projection's name has it; `in_proj` and `c_attn` do not.

    Only the usual order counts: of a projection called kqv the code as often takes query, key and value.
    """
    plain = name.lower()
    written = next((letters for each, letters in _ORDERS.items() if each in plain), None)
    return written if written == "qkv" else None


def is_bias(parameter: RemoteParameter) -> bool:
    last = parameter.name.lower().rpartition(".")[2]
    return "bias" in last or re.fullmatch(r"b_?(q|k|v|o|qkv|query|key|value|out)", last) is not None


def roles_by_number(weights: Sequence[RemoteParameter]) -> dict[str, list[RemoteParameter]]:
    """Query, key, value and output in numbered lists, as in ``linears.0`` to ``linears.3``, or in lists in lists.

    A list of three holds query, key and value, one of four the output as well. Of lists in lists, the axis of three
    tells query, key and value apart, and the other axis the heads.
    """
    lists: dict[str, dict[tuple[int, ...], RemoteParameter]] = {}
    for parameter in weights:
        numbers = tuple(int(part) for part in parameter.name.split(".") if part.isdecimal())
        if numbers and len(parameter.shape) == 2:
            lists.setdefault(re.sub(r"\.\d+(?=\.|$)", ".#", parameter.name), {})[numbers] = parameter
    for members in lists.values():
        sizes = [len({numbers[depth] for numbers in members}) for depth in range(len(min(members, key=len)))]
        if len({each.shape for each in members.values()}) != 1:
            continue
        # Of three lists or more the numbers are those of the heads.
        if len(sizes) == 1 and sizes[0] in {3, 4} and len(lists) < 3:
            return {role: [members[key]] for role, key in zip("qkvo", sorted(members), strict=False)}
        if len(sizes) == 2 and 3 in sizes and len(members) == sizes[0] * sizes[1]:
            axis = 1 if sizes[1] == 3 else 0
            role_of = dict(zip(sorted({numbers[axis] for numbers in members}), "qkv", strict=True))
            found: dict[str, list[RemoteParameter]] = {}
            for numbers in sorted(members):
                found.setdefault(role_of[numbers[axis]], []).append(members[numbers])
            return found
    return {}
