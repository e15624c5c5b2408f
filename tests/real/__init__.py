"""Proof on real pretrained weights: `python -m tests.real NAME` measures, and the tests here assert what must hold."""
