"""A real `akidb serve` for tests: started by Popen, killed or stopped, started again."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from akidb_ray.cluster.local_ray import free_ports, instance_id, processes_of, stop_local_ray

ROOT_KEY = "root-key-of-the-tests-0123456789"
STOP_TIMEOUT_S = 30.0
COLLECTIONS = "/v2/tenants/default/databases/default/collections"
TEST_SETTINGS = {
    "AKIDB_ROOT_KEY": ROOT_KEY,
    "AKIDB_EMBEDDING_MODELS": "hashing-64",
    "AKIDB_EMBEDDING_REPLICAS": "1",
    "AKIDB_SHARD_SEAL_IDLE_S": "0.2",
    "AKIDB_SHARD_INDEX_MIN_ROWS": "200",
    "AKIDB_SERVER_MAX_BODY_BYTES": str(4 * 1024**2),
}


@dataclass
class ServerProcess:
    """`akidb serve` on a folder and a free port."""

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=lambda: free_ports(1)[0])
    grpc_port: int = field(default_factory=lambda: free_ports(1)[0])
    process: "subprocess.Popen[str] | None" = None
    greeting: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def instance(self) -> str:
        return instance_id(self.data_dir)

    def start(self) -> "ServerProcess":
        """Start it and read its greeting, up to the last line of it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AKIDB_", "RAY_"))}
        command = [sys.executable, "-m", "akidb_ray.cli.main", "serve"]
        ports = ["--port", str(self.port), "--grpc-port", str(self.grpc_port)]
        options = ["--data-dir", str(self.data_dir), *ports, *self.arguments]
        self.process = subprocess.Popen(
            [*command, *options],
            env={**environment, **TEST_SETTINGS, **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self.greeting = self._read_greeting()
        except BaseException:
            self.kill_everything()
            raise
        return self

    def _read_greeting(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                return "".join(lines)
        raise AssertionError(f"akidb serve ended: {''.join(lines)}")

    def client(self, key: str | None = ROOT_KEY) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60.0)

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        code = self.process.wait(STOP_TIMEOUT_S)
        self.process.stdout.close()  # type: ignore[union-attr]
        return code

    def kill_everything(self) -> None:
        """SIGKILL to the server and every process that it started, all at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)
        self.process.stdout.close()  # type: ignore[union-attr]
        stop_local_ray(self.data_dir)

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Processes that this server started and whose command line holds `name`."""
        found = []
        for process in processes_of(self.instance):
            with contextlib.suppress(psutil.Error):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found


def kill_actor(server: ServerProcess, class_name: str) -> None:
    """SIGKILL to the process of an actor."""
    found = server.processes(f"ray::{class_name}")
    assert found, f"no process of {class_name}"
    for process in found:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Poll until the condition holds; return what it gave."""
    import time

    give_up_at = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < give_up_at, "waited too long"
        time.sleep(0.05)
