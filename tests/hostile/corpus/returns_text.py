# attack: returns text
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return '54 passed'
