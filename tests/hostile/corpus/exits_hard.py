# attack: ends the process with success
# expect: exited
import os


def attention(query, key, value, mask=None):
    os._exit(0)
