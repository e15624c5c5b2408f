# attack: children that together take more memory than one may
# expect: out-of-memory
# seconds: 60
import os
import time

import torch


def attention(query, key, value, mask=None):
    for _ in range(8):
        if os.fork() == 0:
            kept = torch.full((200 << 20,), 1, dtype=torch.uint8)
            time.sleep(1000)
    time.sleep(1000)
