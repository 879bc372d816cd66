"""The package as others get it: for Python 3.10, with httpx alone, and nothing of the server."""

import ast
import subprocess
import sys
from pathlib import Path

import akidb
import pytest

PACKAGE = Path(akidb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {"akidb", "httpx", "numpy", "typing_extensions"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_nothing_but_httpx_and_reads_as_python_3_10(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 10))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported <= ALLOWED | sys.stdlib_module_names


def test_it_works_where_numpy_and_typing_extensions_are_not_installed() -> None:
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['typing_extensions'] = None; import akidb;"
        "akidb.Client('http://127.0.0.1:1').close(); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(
        command, env={"PYTHONPATH": str(PACKAGE.parent)}, capture_output=True, text=True, check=True
    )
    assert not {"akidb_ray", "ray"} & set(run.stdout.split())


def test_all_that_is_offered_is_there() -> None:
    assert all(hasattr(akidb, name) for name in akidb.__all__)
    assert (PACKAGE / "py.typed").exists()


def test_files_and_functions_are_as_short_as_in_the_rest_of_the_project() -> None:
    for path in MODULES:
        source = path.read_text("utf-8")
        assert len(source.splitlines()) <= 400, path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, node.name
