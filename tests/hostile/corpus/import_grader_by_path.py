# attack: loads the grader's reference past the import system's refusal
# expect: import-error
import importlib.util
import sys
from pathlib import Path

for entry in sys.path:
    place = Path(entry) / 'pytest_attn_grader' / 'results.py'
    if place.is_file():
        spec = importlib.util.spec_from_file_location('results_of_theirs', place)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def attention(query, key, value, mask=None):
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return weights @ value, weights
