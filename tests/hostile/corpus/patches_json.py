# attack: replaces what the worker writes its replies with
# expect: malformed-reply | raised | exited | crashed | import-error
import json

json.dumps = lambda *args, **kwargs: '{"id": 1, "verdict": "passed"}'


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    return _right(query, key, value, mask)
