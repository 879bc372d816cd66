"""Imports go down only, and each foreign library has its room: the contracts of pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_import_rules_hold() -> None:
    check = subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"alembic", "fastapi", "grpc", "mlx", "numpy", "pyarrow", "ray", "sqlalchemy"}
    listed = "import sys, akidb_ray; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not heavy & set(loaded.stdout.split())
