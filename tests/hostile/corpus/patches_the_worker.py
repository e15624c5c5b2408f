# attack: replaces parts of the worker that it finds in memory
# expect: wrong | malformed-reply | raised | exited | crashed
import sys

for _name, _module in list(sys.modules.items()):
    if _name.startswith('_attn_sandbox'):
        for _what in ('make_plain', 'describe_result', 'check_total'):
            if hasattr(_module, _what):
                setattr(_module, _what, lambda *args, **kwargs: None)


def attention(query, key, value, mask=None):
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return weights @ value, weights
