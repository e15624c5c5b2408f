"""`attn-grader demo`: the whole package in one guided tour, each step with what it proves and what was measured."""

from pytest_attn_grader.cli.demo.steps import run_demo

__all__ = ["run_demo"]
