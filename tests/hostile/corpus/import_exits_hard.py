# attack: ends the process with success while it is imported
# expect: exited
import os

os._exit(0)


def attention(query, key, value, mask=None):
    return query
