"""What is committed is what the compiler makes of the proto."""

from pathlib import Path

import pytest

from akidb_ray.gateway.grpc.generating import PROTO, ROOT, generate

MADE = ("akidb_pb2.py", "akidb_pb2.pyi", "akidb_pb2_grpc.py")


@pytest.mark.parametrize("name", MADE)
def test_the_code_of_messages_and_stubs_is_up_to_date(name: str, tmp_path: Path) -> None:
    generate(tmp_path)
    made = (tmp_path / PROTO).with_name(name).read_text()
    committed = (ROOT / PROTO).with_name(name).read_text()
    assert made == committed, "run: python -m akidb_ray.gateway.grpc.generating"


def test_nothing_else_lies_beside_the_proto() -> None:
    beside = {path.name for path in (ROOT / PROTO).parent.iterdir() if path.is_file()}
    assert beside == {*MADE, PROTO.name, "__init__.py"}
