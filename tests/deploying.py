"""A Ray that a platform team runs, for tests that deploy on it by Ray's own commands."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from akidb_ray.cluster.local_ray import (
    INSTANCE_VARIABLE,
    free_ports,
    instance_id,
    serve_environment,
    stop_local_ray,
)
from tests.serving import ROOT_KEY, wait_until

ENVIRONMENT = Path(__file__).parents[1] / "deployments" / "ray.env"
_COMMAND_TIMEOUT_S = 120.0
# `akidb serve` stops fast; what is deployed keeps the shipped value, or Serve's own.
_DRAINING = {
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S",
}


@dataclass
class PlatformRay:
    """A head node, and more nodes on the same machine, in sessions of their own.

    `folder` must have a short path: sockets lie in it.
    """

    folder: Path
    environment: dict[str, str] = field(init=False)
    gcs: int = field(init=False)
    dashboard: int = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AKIDB_", "RAY_"))}
        (self.folder / "h").mkdir(mode=0o700)
        shipped = _variables(ENVIRONMENT.read_text())
        # Ports and paths that nobody else on this machine has.
        own = {k: v for k, v in serve_environment(self.folder).items() if k not in _DRAINING}
        own["RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"] = str(self.folder / "h" / "metrics.sock")
        self.environment = {
            **kept,
            **shipped,
            **own,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            INSTANCE_VARIABLE: self.instance,
        }
        self.gcs, self.dashboard, self.port = free_ports(3)

    @property
    def instance(self) -> str:
        return instance_id(self.folder)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.gcs}"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def start_head(self, cpus: int) -> None:
        self._start_node(
            "head",
            "--head",
            f"--port={self.gcs}",
            "--include-dashboard=true",
            f"--dashboard-port={self.dashboard}",
            f"--ray-client-server-port={free_ports(1)[0]}",
            f"--temp-dir={self.folder / 'ray'}",
            f"--num-cpus={cpus}",
        )
        with self._dashboard() as client:
            wait_until(lambda: _answers(client))

    def add_node(self, cpus: int) -> None:
        self._start_node("node", f"--address={self.address}", f"--num-cpus={cpus}")

    def _start_node(self, name: str, *options: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        with log:
            subprocess.Popen(
                [
                    sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                    "--node-ip-address=127.0.0.1",
                    f"--dashboard-agent-listen-port={free_ports(1)[0]}",
                    f"--object-store-memory={100 * 1024**2}",
                    *options,
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        text = self.folder / f"{name}.log"
        wait_until(lambda: "Ray runtime started" in text.read_text(errors="replace"))

    def _dashboard(self) -> httpx.Client:
        token = self.environment["RAY_AUTH_TOKEN"]
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.dashboard}", headers=headers)

    def serve(self, *arguments: str) -> str:
        """A command of Ray Serve's: `serve deploy FILE`."""
        where = f"http://127.0.0.1:{self.dashboard}"
        return self.run("ray.serve.scripts", *arguments, "--address", where)

    def run(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Hand the config to `serve deploy`, which does not wait."""
        file = self.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        self.serve("deploy", str(file))

    def application(self) -> dict[str, Any]:
        """What Serve says of the application, empty when there is none."""
        with self._dashboard() as client:
            details = client.get("/api/serve/applications/").raise_for_status().json()
        found: dict[str, Any] = details["applications"].get("akidb", {})
        return found

    def wait_for(self, status: str) -> dict[str, Any]:
        """Until the application is in this state, which is then returned."""

        def reached() -> dict[str, Any] | None:
            now = self.application()
            return now if now.get("status") == status else None

        found: dict[str, Any] = wait_until(reached, 120.0)
        return found

    def gateways(self) -> dict[str, int]:
        """Process ids of the gateway replicas that run, by their names."""
        # While it is built there is nothing to tell of it.
        gateway = self.application()["deployments"].get("gateway", {"replicas": []})
        replicas = gateway["replicas"]
        return {row["replica_id"]: row["pid"] for row in replicas if row["state"] == "RUNNING"}

    def actors(self) -> dict[str, int]:
        """Process ids of AkiDB's own actors by their names."""
        with self._dashboard() as client:
            answer = client.get("/api/v0/actors", params={"detail": 1}).raise_for_status().json()
        rows = answer["data"]["result"]["result"]
        return {
            row["name"]: row["pid"]
            for row in rows
            if row["ray_namespace"] == "akidb" and row["state"] == "ALIVE"
        }

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {ROOT_KEY}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30.0)

    def kill(self) -> None:
        stop_local_ray(self.folder)


def _variables(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/api/serve/applications/").status_code == 200
    return False
