"""`akidb serve` as a person meets it: the key, the folder, the signals, what is refused."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from akidb_ray.cluster.local_ray import free_ports
from tests.serving import COLLECTIONS, ServerProcess

NO_KEY = {"AKIDB_ROOT_KEY": ""}
KEY_LINE = re.compile(r"Root key .*: (akdb_root_\S+)")


def run_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "akidb_ray.cli.main", "serve", *arguments]
    without_grpc = {**os.environ, "AKIDB_SERVER_GRPC_PORT": "0"}
    return subprocess.run(
        command, env=without_grpc, capture_output=True, text=True, timeout=60, check=False
    )


def test_key_is_shown_once_and_signals_stop_everything_in_seconds(tmp_path: Path) -> None:
    first = ServerProcess(tmp_path / "data", NO_KEY).start()
    (key,) = KEY_LINE.findall(first.greeting)
    with first.client(key) as client:
        client.post(COLLECTIONS, json={"name": "kept", "embedding_model": "hashing-64"})
        documents = [{"id": "1", "text": "still here"}]
        client.put(f"{COLLECTIONS}/kept/documents", json={"documents": documents})

    second = run_serve("--data-dir", str(tmp_path / "data"), "--port", str(free_ports(1)[0]))
    assert second.returncode == 1
    assert "held by another process" in second.stderr
    assert "Traceback" not in second.stderr

    for by, server in ((signal.SIGINT, first), (signal.SIGTERM, None)):
        running = server or ServerProcess(tmp_path / "data", NO_KEY).start()
        assert (key in running.greeting) == (server is first)
        with running.client(key) as client:
            assert client.get(f"{COLLECTIONS}/kept/documents/1").json()["text"] == "still here"
        started = time.monotonic()
        assert running.stop(by) == 0
        assert time.monotonic() - started < 15
        assert not running.processes()
        assert not Path(f"/tmp/akidb-{running.instance}").exists()


def test_without_keys_only_the_loopback_address_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    refused = run_serve("--data-dir", str(folder), "--insecure-no-auth", "--host", "0.0.0.0")
    assert refused.returncode == 1
    assert "127.0.0.1 only" in refused.stderr
    assert not folder.exists()


def test_a_port_in_use_is_refused_before_anything_starts(
    tmp_path: Path, server: ServerProcess
) -> None:
    refused = run_serve("--data-dir", str(tmp_path / "data"), "--port", str(server.port))
    assert refused.returncode == 1
    assert "--port" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    config = tmp_path / "akidb.toml"
    config.write_text("[server]\nprot = 1\n")
    refused = run_serve("--config", str(config), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "server.prot" in refused.stderr


def test_data_without_its_catalog_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "data" / "stores" / "0000").mkdir(parents=True)
    port = str(free_ports(1)[0])
    refused = run_serve("--data-dir", str(tmp_path / "data"), "--port", port)
    assert refused.returncode == 1
    assert "catalog" in refused.stderr
    assert not (tmp_path / "data" / "catalog" / "catalog.sqlite").exists()


def test_a_signal_while_starting_stops_cleanly_and_no_key_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "akidb_ray.cli.main", "serve"]
    options = ["--data-dir", str(tmp_path / "data"), "--port", str(free_ports(1)[0])]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AKIDB_", "RAY_"))}
    keys = []
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        env={
            **environment,
            "AKIDB_EMBEDDING_MODELS": "hashing-64",
            "AKIDB_SERVER_GRPC_PORT": "0",
        },
        text=True,
    ) as starting:
        assert starting.stdout is not None
        for line in starting.stdout:
            if KEY_LINE.search(line):
                keys += KEY_LINE.findall(line)
                starting.send_signal(signal.SIGTERM)
        assert starting.wait(30) == 0
    again = ServerProcess(tmp_path / "data", NO_KEY)
    assert not again.processes()
    keys += KEY_LINE.findall(again.start().greeting)
    with again.client(keys[-1]) as client:
        assert client.get("/v2/tenants").status_code == 200
    assert again.stop() == 0
