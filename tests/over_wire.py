"""The database of `tests/in_process.py` behind uvicorn on a free port, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from akidb_ray.cluster.local_ray import free_ports
from tests.in_process import running_database

_START_TIMEOUT_S = 60.0


@contextmanager
def served_database(folder: Path) -> Iterator[str]:
    """The URL that it is served at. Clients send the key ROOT_KEY of `tests/serving.py`."""
    (port,) = free_ports(1)
    started = threading.Event()
    stops: list[uvicorn.Server] = []

    async def serve() -> None:
        async with running_database(folder) as database:
            app = database.client._transport.app  # type: ignore[attr-defined]
            config = uvicorn.Config(app, port=port, lifespan="off", log_level="warning")
            server = uvicorn.Server(config)
            stops.append(server)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            started.set()
            await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(_START_TIMEOUT_S), "the server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        for server in stops:
            server.should_exit = True
        thread.join()
