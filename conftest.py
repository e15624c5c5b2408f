"""Settings that every test of this repository needs."""

import os

# One thread: the tensors here are tiny, and threads that wait for each other cost more than they compute. Set before
# torch is loaded, and inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
