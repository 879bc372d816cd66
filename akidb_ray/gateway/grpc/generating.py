"""Makes the code of the messages and stubs from `v2/akidb.proto`, next to it.

Needs grpcio-tools, which the extra `test` brings. A test compares what is committed.
"""

import sys
from pathlib import Path

from google.rpc import status_pb2

ROOT = Path(__file__).parents[3]
PROTO = Path("akidb_ray/gateway/grpc/v2/akidb.proto")


def generate(target: Path) -> None:
    """Write the code below `target`, in the folders of the package."""
    import grpc_tools
    from grpc_tools import protoc

    shared = (Path(grpc_tools.__file__).parent / "_proto", Path(status_pb2.__file__).parents[2])
    folders = [f"-I{folder}" for folder in (ROOT, *shared)]
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    status = protoc.main(["protoc", *folders, *outputs, str(ROOT / PROTO)])
    if status != 0:
        sys.exit(status)


if __name__ == "__main__":
    generate(ROOT)
