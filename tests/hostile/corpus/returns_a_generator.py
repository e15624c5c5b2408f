# attack: returns a generator
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return (row for row in value)
