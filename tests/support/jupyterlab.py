"""A JupyterLab in headless Chromium: opens a notebook, runs all of its cells, and waits for the outputs."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
RUN_SECONDS = 120.0


@contextmanager
def run_server(folder: Path, home: Path) -> Iterator[str]:
    """Serve a folder, and yield the address of JupyterLab with a token. `home` gets all that Jupyter writes.

    Raises:
        RuntimeError: the server ended, or did not answer within a minute.
    """
    token = secrets.token_hex(16)
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    # JupyterLab's question whether it may fetch news would lie above the notebook.
    _write_settings(home, "notification", {"fetchNews": "false", "checkForUpdates": False})
    places = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **places, "IPYTHONDIR": str(home / "ipython")}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        *(f"--LabApp.workspaces_dir={home / 'workspaces'}", f"--LabApp.user_settings_dir={home / 'settings'}"),
    ]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for_server(f"{address}/api?token={token}", process, log)
            yield f"{address}/lab/tree/{{notebook}}?token={token}&reset"
        finally:
            process.terminate()  # the server ends its kernels
            process.wait(timeout=30)


def _wait_for_server(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not answer (exit code {process.poll()}):\n{log.read_text()[-4000:]}")


def choose_theme(home: Path, theme: str) -> None:
    """Let pages that are opened from now on be `light` or `dark`."""
    _write_settings(home, "themes", {"theme": f"JupyterLab {theme.capitalize()}"})


def _write_settings(home: Path, name: str, values: dict[str, object]) -> None:
    file = home / "settings" / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values), encoding="utf-8")


def run_all_cells(page: Any, address: str) -> None:
    """Open a notebook in a page of Playwright's and run it; returns when its last cell has ended."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=START_SECONDS * 1000)
    # Before the notebook has its kernel, "Run All Cells" does nothing or asks for one.
    page.locator("#jp-main-statusbar >> text=/ \\| Idle$/").wait_for(timeout=START_SECONDS * 1000)
    page.locator(".lm-MenuBar-itemLabel:text-is('Run')").click()
    page.locator(".lm-Menu-itemLabel:text-is('Run All Cells')").click()
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    page.wait_for_function(
        "each => /\\[\\d+\\]/.test(each.textContent)", arg=last.element_handle(), timeout=RUN_SECONDS * 1000
    )
