"""A checkpoint of distilgpt2's shape and size, over the wire, loaded in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import REPO_ROOT, distilgpt2_shaped
from tests.support.hub_server import HubServer, Repo

pytestmark = pytest.mark.slow

_NAME = "attn-tests/distilgpt2-shape"
_SCRIPT = """
import json, sys
from pytest_attn_grader._utils.memory import peak_rss_bytes
from pytest_attn_grader.models import load_model
loaded = load_model(sys.argv[1], device="cpu")
prompt = loaded.tokenizer("The cat sat on the mat", return_tensors="pt")
attentions = loaded.model(**prompt, output_attentions=True).attentions
print(json.dumps({
    "source": loaded.source,
    "revision": loaded.revision,
    "parameters": loaded.model.num_parameters(),
    "vocabulary": len(loaded.tokenizer),
    "tokens": prompt.input_ids.shape[1],
    "attentions": [list(attention.shape) for attention in attentions],
    "seconds": loaded.load_seconds,
    "peak_mebibytes": peak_rss_bytes() / 2**20,
}))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distilgpt2_shaped(tmp_path_factory.mktemp("checkpoints") / "distilgpt2-shape")


def test_has_distilgpt2s_size(checkpoint: Path) -> None:
    size = (checkpoint / "model.safetensors").stat().st_size
    assert abs(size - 352_824_413) < 1000


def test_download_cache_and_offline(checkpoint: Path, tmp_path: Path) -> None:
    with HubServer({_NAME: Repo(checkpoint, "8" * 40)}) as server:
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path)}
        for source in ("hub", "cache"):
            said = _load(environment)
            assert (said["source"], said["revision"]) == (source, "8" * 40)
            assert (said["parameters"], said["vocabulary"], said["tokens"]) == (81_912_576, 50_257, 6)
            assert said["attentions"] == [[1, 12, 6, 6]] * 6
            assert said["seconds"] < 60
            assert said["peak_mebibytes"] < 1500
            print(f"{source}: {said['seconds']:.1f} s, {said['peak_mebibytes']:.0f} MiB at most")
    offline = _load(environment | {"HF_HUB_OFFLINE": "1"})
    assert offline["source"] == "cache"


def _load(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-W", "error::UserWarning", "-c", _SCRIPT, _NAME]
    done = subprocess.run(command, env=environment, cwd=REPO_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, Any] = json.loads(done.stdout)
    return said
