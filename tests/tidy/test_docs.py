"""Commands in the docs work: each fenced block marked ```bash run``` is run here.

Those marked ```bash run server``` are run by tests/e2e/test_readme.py.

A block runs in the repository's root with the environment's programs on the PATH and an empty home.
It must end by itself and with status 0, so it suits commands that need no server.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def _commands() -> Iterator[object]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text("utf-8")
        for block in FENCE.finditer(text):
            if block["info"].split() == ["bash", "run"]:
                line = text.count("\n", 0, block.start()) + 1
                yield pytest.param(block["code"], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("code", list(_commands()))
def test_documented_command_works(code: str, tmp_path: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=ROOT,
        env=os.environ | {"PATH": programs, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"


def test_only_blocks_marked_run_are_found() -> None:
    page = "```bash run\necho 1\n```\n\n```bash\nrm -rf x\n```\n\n```json\n{}\n```\n"
    found = [(block["info"], block["code"]) for block in FENCE.finditer(page)]
    assert found == [("bash run", "echo 1\n"), ("bash", "rm -rf x\n"), ("json", "{}\n")]
