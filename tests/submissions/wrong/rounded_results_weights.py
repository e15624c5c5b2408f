# expect: rounded-results
import math


def self_attention(q, k, v, mask):
    s = (q @ k.transpose(2, 3) / math.sqrt(q.size(3))).masked_fill(~mask, -1e9)
    w = (s.softmax(3) * 1000).round() / 1000
    return w @ v, w
