"""A file has one subject and fits a few screens; a function fits one."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("akidb_ray", "bench", "clients", "examples", "tests")
FILE_LINES = 400
FUNCTION_LINES = 60

# "path" or "path::function": why it may be longer.
_RPCS = "akidb_ray/gateway/grpc/v2/akidb_pb2_grpc.py"
EXCEPTIONS: dict[str, str] = {
    _RPCS: "generated",
    f"{_RPCS}::__init__": "generated",
    f"{_RPCS}::add_AkiDBServicer_to_server": "generated",
}


def test_no_file_or_function_is_too_long_without_a_reason() -> None:
    too_long = {name: lines for name, lines in _too_long().items() if name not in EXCEPTIONS}
    assert not too_long, f"split these, or list them with a reason: {too_long}"


def test_every_exception_is_still_needed() -> None:
    unneeded = EXCEPTIONS.keys() - _too_long().keys()
    assert not unneeded, f"no longer too long, take them off the list: {unneeded}"


def _too_long() -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            source = path.read_text("utf-8")
            if (lines := len(source.splitlines())) > FILE_LINES:
                found[name] = lines
            for node in ast.walk(ast.parse(source, name)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES:
                        found[f"{name}::{node.name}"] = lines
    return found
