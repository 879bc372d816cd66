"""`akidb serve`: the database in the foreground, on a Ray of its own or on one that runs."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from akidb_ray.access.exposure import require_loopback
from akidb_ray.access.keys import chosen_root_key
from akidb_ray.cluster.local_ray import (
    LocalRay,
    instance_id,
    processes_of,
    start_local_ray,
    stop_local_ray,
)
from akidb_ray.domain.errors import InvalidArgument, Unavailable
from akidb_ray.settings import ServerSettings, Settings, load_settings
from akidb_ray.storage.os_filesystem import OsFileSystem

if TYPE_CHECKING:
    from akidb_ray.bootstrap import Started

_POLL_S = 0.5


def serve(
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    address: str | None,
    insecure_no_auth: bool,
    config: Path | None,
) -> None:
    """Run until SIGINT or SIGTERM. Raises our errors when it can't start.

    What can be refused at once is refused before anything is started or written.
    """
    settings = _settings(data_dir, host, port, grpc_port, config)
    if insecure_no_auth:
        require_loopback(settings.server.host)
    chosen_root_key()
    folder = Path(settings.server.data_dir).resolve()
    # What a crash left running may hold the ports; it may be ended only under the folder's lock.
    left_running = address is None and bool(processes_of(instance_id(folder)))
    if not left_running:
        _require_free_ports(settings.server)
    _stop_on_signals()
    with contextlib.suppress(KeyboardInterrupt), _locked(folder):
        if left_running:
            stop_local_ray(folder)
            _require_free_ports(settings.server)
        if address is None:
            _serve_on_own_ray(folder, settings, insecure_no_auth)
        else:
            _serve_on_joined_ray(folder, settings, insecure_no_auth, address)


def _settings(
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    config: Path | None,
) -> Settings:
    settings = load_settings(config, os.environ)
    server = settings.server
    return replace(
        settings,
        server=replace(
            server,
            data_dir=str(data_dir) if data_dir is not None else server.data_dir,
            host=host if host is not None else server.host,
            port=port if port is not None else server.port,
            grpc_port=grpc_port if grpc_port is not None else server.grpc_port,
        ),
    )


def _require_free_ports(server: ServerSettings) -> None:
    """Both at once, so that they differ."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        for name, port in (("port", server.port), ("grpc_port", server.grpc_port)):
            if name == "grpc_port" and not port:
                continue
            probe = stack.enter_context(socket.socket(family))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((server.host, port))
                # Bound twice by SO_REUSEADDR is possible, listened to is not.
                probe.listen()
            except OSError as error:
                option = f"--{name.replace('_', '-')}"
                raise InvalidArgument(
                    name, f"{server.host}:{port} can't be used ({error.strerror}); try {option}"
                ) from None


def _stop_on_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, which asyncio and Ray let through."""

    def stop(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the clean-up that the first one started.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One server per data folder. The lock ends with this process, however it ends."""
    lock = OsFileSystem(folder).lock(PurePath("LOCK"), wait_s=0.0)
    try:
        yield
    finally:
        lock.release()


def _serve_on_own_ray(folder: Path, settings: Settings, open_to_all: bool) -> None:
    print("Starting Ray ...", flush=True)
    keep_logs = True
    try:
        own = start_local_ray(folder, settings.ray)
        _join_and_serve(folder, settings, open_to_all, own.address, own)
    except KeyboardInterrupt:
        keep_logs = False
    finally:
        stop_local_ray(folder, keep_logs)
    print("Stopped.", flush=True)


def _serve_on_joined_ray(folder: Path, settings: Settings, open_to_all: bool, address: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        _join_and_serve(folder, settings, open_to_all, address, None)
    print("Stopped. The Ray cluster runs on.", flush=True)


def _join_and_serve(
    folder: Path, settings: Settings, open_to_all: bool, address: str, own: LocalRay | None
) -> None:
    # Ray reads the environment when it is imported, so not before start_local_ray has set it.
    import ray

    from akidb_ray import bootstrap

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray.init(
            address=address, namespace="akidb", log_to_driver=False, logging_level=logging.ERROR
        )
    except ConnectionError as error:
        raise Unavailable(f"no Ray cluster answers at {address}: {error}") from None
    # Ray puts handlers of its own in place, which print a stack trace and exit.
    _stop_on_signals()
    serve_ran_before = bootstrap.serve_runs()
    print("Starting the database ...", flush=True)
    try:
        asyncio.run(bootstrap.claim(folder, settings))
        try:
            started = bootstrap.start(
                folder, settings, own is not None, open_to_all, _show_root_key
            )
            _greet(started, folder, settings.server.grpc_port, open_to_all)
            _wait(own)
        finally:
            print("Stopping ...", flush=True)
            bootstrap.stop(own is not None, serve_ran_before)
    finally:
        ray.shutdown()


def _wait(own: LocalRay | None) -> NoReturn:
    while own is None or own.process.poll() is None:
        time.sleep(_POLL_S)
    raise Unavailable(f"Ray has ended by itself; see {own.folder / 'ray'}")


def _show_root_key(key: str) -> None:
    print(f"Root key (shown only now; stored as a hash): {key}", flush=True)


def _greet(started: "Started", folder: Path, grpc_port: int, open_to_all: bool) -> None:
    grpc = f", and gRPC on port {grpc_port}" if grpc_port else ""
    print(f"\nAkiDB serves {started.url}{grpc}   (documents lie in {folder})")
    for model, reason in started.missing_models.items():
        print(f"Without the model {model}: {reason}")
    key = started.root_key or "<your root key>"
    if open_to_all:
        print("\n*** WARNING: --insecure-no-auth: whoever reaches this port may do everything. ***")
    print(
        "\nTry next:\n"
        f"  export AKIDB_URL={started.url} AKIDB_API_KEY={key}\n"
        "  akidb status\n"
        "  akidb collection create notes --embedding-model all-MiniLM-L6-v2\n"
        """  echo '{"id": "1", "text": "Ray actors hold the shards."}' > notes.jsonl\n"""
        "  akidb ingest notes.jsonl --collection notes\n"
        '  akidb search "who keeps the data?" --collection notes\n'
        f"  {started.url}/docs\n"
        "\nCtrl-C stops it.",
        flush=True,
    )
