"""The README is true to the letter: its commands, run in order against a server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.serving import COLLECTIONS, ROOT_KEY, ServerProcess

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```bash run server\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_readme_do_what_it_says(
    server: ServerProcess, client: httpx.Client, tmp_path: Path
) -> None:
    # Other tests use these names, too.
    _delete_collections(client)
    blocks = BLOCK.findall(README.read_text("utf-8"))
    assert len(blocks) == 3
    outputs = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "AKIDB_URL": server.url,
                "AKIDB_API_KEY": ROOT_KEY,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    assert "Ray actors hold the shards." in outputs[0]
    assert outputs[0].rstrip().count("Bread needs flour") >= 1
    assert '"id":"tt1"' in outputs[1]
    _delete_collections(client)


def _delete_collections(client: httpx.Client) -> None:
    for name in ("notes", "films", "recipes"):
        client.delete(f"{COLLECTIONS}/{name}")
