# attack: memory that the limit of a single process does not count
# expect: out-of-memory
# seconds: 60
import mmap
import time


def attention(query, key, value, mask=None):
    kept = mmap.mmap(-1, 1200 << 20)
    for place in range(0, 1200 << 20, 4096):
        kept[place] = 1
    time.sleep(1000)
