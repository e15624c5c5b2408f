"""What a submission sees and can do in the namespaces that bubblewrap makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.sandbox.tiers import choose_tier
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.sandbox.conftest import check_everything_dies, each_end
from tests.support.sandboxes import TRIED, make_worker, needs_bwrap

QUERY = (("query", TensorRef("query")),)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is for Linux")
def test_a_bubblewrap_that_does_not_work_is_found_out_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "No permissions to create a new namespace" in bubblewrap.unavailable_reason()
    assert choose_tier("auto").name == "process"
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert bubblewrap.unavailable_reason() == "bubblewrap is not installed"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert bubblewrap.unavailable_reason() == "bubblewrap is for Linux"


LOOKS_AROUND = (
    f"""
import json, os, pathlib, socket, torch
{TRIED}"""
    + """
def attention(query):
    with open("/tmp/mine", "w") as file:
        file.write("x")
    print(json.dumps({
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "write beside": tried(lambda: open("new", "w")),
        "write into itself": tried(lambda: open(__file__, "a")),
        "write into the system": tried(lambda: open("/usr/new", "w")),
        "write into the root": tried(lambda: os.mkdir("/new")),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=5)),
        "look up": tried(lambda: socket.getaddrinfo("example.org", 80)),
        "secret": os.path.exists(SECRET),
        "home": os.path.expanduser("~"),
        "grader": sorted({str(found.parent) for found in pathlib.Path(PACKAGE).rglob("*.py")}),
        "etc": sorted(os.listdir("/etc")),
        "tmp": sorted(os.listdir("/tmp")),
        "fill": tried(lambda: [pathlib.Path(f"/tmp/{number}").write_bytes(bytes(1 << 25)) for number in range(20)]),
    }))
    return query
"""
)


@needs_bwrap
def test_in_namespaces_a_submission_sees_nothing_and_changes_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import socket

    secret = tmp_path_factory.mktemp("elsewhere") / "answers.txt"
    secret.write_text("42")
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = LOOKS_AROUND.replace("SECRET", repr(str(secret))).replace("PORT", str(server.getsockname()[1]))
        source = source.replace("PACKAGE", repr(str(Path(bubblewrap.__file__).resolve().parents[1])))
        (tmp_path / "student.py").write_text(source)
        worker = make_worker(tmp_path, "bwrap")
        with SandboxClient(lambda: worker) as remote:
            remote.describe(path=str(tmp_path / "student.py"))
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
            assert (remote.peak_rss_bytes or 0) > 50_000_000
        # Closed: whatever was printed has been read.
        seen = json.loads(remote.captured_output)
    assert seen["processes"] == 2  # bubblewrap and itself
    for attempt in ("write beside", "write into itself", "write into the system", "write into the root"):
        assert seen[attempt] in {"OSError", "PermissionError"}, (attempt, seen)
    assert seen["connect"] != "done"
    assert seen["look up"] != "done"
    assert seen["secret"] is False
    assert seen["home"] == "/tmp"
    package = Path(bubblewrap.__file__).resolve().parents[1]
    assert seen["grader"] == [str(package / each / "worker") for each in ("sandbox", "submission")]
    assert not {"shadow", "ssh", "ssl"} & set(seen["etc"])
    assert "mine" in seen["tmp"]
    assert seen["fill"] == "OSError"
    assert not Path("/tmp/mine").exists()


@needs_bwrap
def test_in_namespaces_there_is_no_further_user_namespace(tmp_path: Path) -> None:
    """Without the filter of system calls: bubblewrap's own option, in the versions that have it."""
    if "--disable-userns" not in bubblewrap._namespace_options(bubblewrap.program_path()):
        pytest.skip("this bubblewrap has no --disable-userns, or it does not work here")
    command = bubblewrap.bwrap_command(tmp_path, sys.path, [Path(bubblewrap.__file__).parent])
    code = "import ctypes, sys; sys.exit(10 + ctypes.CDLL(None).unshare(0x10000000))"
    assert subprocess.run([*command, sys.executable, "-c", code], check=False).returncode == 9


@needs_bwrap
@each_end
@pytest.mark.slow
def test_in_namespaces_everything_dies_with_the_worker(end: str, name: str | None, tmp_path: Path) -> None:
    check_everything_dies(tmp_path, "bwrap", end, name)
