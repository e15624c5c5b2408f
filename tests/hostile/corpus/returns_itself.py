# attack: returns itself
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return attention
