# attack: ends the process politely while it is imported
# expect: exited
import sys

sys.exit(0)


def attention(query, key, value, mask=None):
    return query
