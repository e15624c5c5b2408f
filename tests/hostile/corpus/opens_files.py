# attack: opens files without end
# expect: too-many-files
import os


def attention(query, key, value, mask=None):
    kept = []
    while True:
        kept.append(open(os.devnull))
