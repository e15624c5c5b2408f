# attack: returns nothing
# expect: malformed-reply
import torch


def attention(query, key, value, mask=None):
    return None
