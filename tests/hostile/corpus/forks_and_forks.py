# attack: a fork bomb (one that ends at a thousand, should nobody stop it)
# expect: too-many-processes
# seconds: 60
import os
import time


def attention(query, key, value, mask=None):
    for _ in range(10):
        os.fork()
    time.sleep(100)
