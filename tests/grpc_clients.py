"""gRPC channels as docs/grpc.md has clients make them."""

import re
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[1] / "docs" / "grpc.md"


def retrying_options() -> list[tuple[str, Any]]:
    """With a connection of its own for each channel, and what the docs say about retries."""
    text = _DOCS.read_text()
    found = re.search(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert '("grpc.per_rpc_retry_buffer_size", 64 * 1024**2)' in text
    return [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", found[1]),
        ("grpc.per_rpc_retry_buffer_size", 64 * 1024**2),
    ]
