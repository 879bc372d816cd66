"""The engine runs where no Ray is installed: a process that cannot import it embeds a shard."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "embedded_shard.py"
FORBIDDEN = ("ray", "fastapi", "pydantic", "grpc", "sqlalchemy", "mlx", "asyncio")
# None in sys.modules makes an import fail as if the package were not there.
RUN = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({FORBIDDEN!r}))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_shard_is_embedded_twice_by_a_program_without_ray(tmp_path: Path) -> None:
    for documents in (0, 3):
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(EXAMPLE), str(tmp_path / "shard")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            f"documents found: {documents}",
            "nearest cold colour: green (0.66)",
            "best by vector and text: green",
        ]
