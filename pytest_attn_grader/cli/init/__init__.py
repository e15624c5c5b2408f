"""The course kit: a repository for students, and the archive that Gradescope runs."""

from pytest_attn_grader.cli.init.gradescope import build_autograder
from pytest_attn_grader.cli.init.repository import write_repository

__all__ = ["build_autograder", "write_repository"]
