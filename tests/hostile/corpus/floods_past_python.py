# attack: writes to the descriptor of standard error without end
# expect: output-flood
import os


def attention(query, key, value, mask=None):
    while True:
        os.write(2, b'x' * 65536)
