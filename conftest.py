"""Settings that every test of this repository needs."""

import os

import pytest

# One thread: the tensors here are tiny, and threads that wait for each other cost more than they compute. Set before
# torch is loaded, and inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the tests of the whole repository on two processes, unless `-n` says otherwise."""
    if hasattr(config, "workerinput"):
        return  # one of the two: it would start two more, and so would they
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("attn_student", None)
    if whole and config.getoption("numprocesses", None) is None and not config.option.usepdb:
        config.option.numprocesses = min(2, os.cpu_count() or 1)
        config.option.dist = "worksteal"
