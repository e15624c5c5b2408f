# attack: loads a module of the grader past the import system's refusal
# expect: import-error | wrong
import importlib.util
import sys
from pathlib import Path

for entry in sys.path:
    place = Path(entry) / 'pytest_attn_grader' / 'results' / 'report.py'
    if place.is_file():
        spec = importlib.util.spec_from_file_location('report_of_the_grader', place)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def attention(query, key, value, mask=None):
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return weights @ value, weights
