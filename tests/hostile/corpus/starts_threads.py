# attack: threads without end
# expect: too-many-processes | out-of-memory
# seconds: 60
import threading
import time


def attention(query, key, value, mask=None):
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
