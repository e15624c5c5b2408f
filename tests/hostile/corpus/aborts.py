# attack: aborts
# expect: crashed
import os


def attention(query, key, value, mask=None):
    os.abort()
