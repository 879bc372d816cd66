"""Processes of an instance are found by what they inherit, and only those are ended."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from akidb_ray.cluster.local_ray import (
    INSTANCE_VARIABLE,
    end_processes,
    free_ports,
    instance_folder,
    instance_id,
    serve_environment,
)

SLEEP = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]


def start(instance: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        SLEEP, stdout=subprocess.PIPE, env={**os.environ, INSTANCE_VARIABLE: instance}
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_only_processes_of_the_instance_are_ended(tmp_path: Path) -> None:
    mine, other = instance_id(tmp_path / "mine"), instance_id(tmp_path / "other")
    doomed, spared = start(mine), start(other)
    assert end_processes(mine) == 1
    assert doomed.poll() is not None
    assert spared.poll() is None
    assert end_processes(mine) == 0
    assert end_processes(other) == 1
    spared.wait(5)


def test_processes_that_hide_what_they_were_told_are_ended_by_their_session(tmp_path: Path) -> None:
    mine = instance_id(tmp_path)
    hiding = f"import subprocess; print(subprocess.Popen({SLEEP!r}, env={{}}).pid, flush=True)"
    leader = subprocess.Popen(
        [sys.executable, "-c", f"{hiding}; import time; time.sleep(60)"],
        stdout=subprocess.PIPE,
        env={**os.environ, INSTANCE_VARIABLE: mine},
        start_new_session=True,
    )
    assert leader.stdout is not None
    hidden = psutil.Process(int(leader.stdout.readline()))
    leader.stdout.close()
    assert end_processes(mine) == 2
    leader.wait(5)
    assert not hidden.is_running() or hidden.status() == psutil.STATUS_ZOMBIE


def test_an_instance_is_named_after_its_folder_however_it_is_written(tmp_path: Path) -> None:
    assert instance_id(tmp_path) == instance_id(tmp_path / "x" / "..")
    assert instance_id(tmp_path) != instance_id(tmp_path / "x")


def test_each_start_has_its_own_ports_and_private_folder(tmp_path: Path) -> None:
    folder = instance_folder(instance_id(tmp_path))
    try:
        assert folder.stat().st_mode & 0o077 == 0
        first, second = serve_environment(folder), serve_environment(folder)
        ports = [name for name in first if name.endswith("_PORT") and "INGRESS" not in name]
        assert len({first[name] for name in ports}) == len(ports) == 4
        assert first != second
        # HAProxy adds the node id of 56 characters, and may use 97 bytes.
        socket = first["RAY_SERVE_HAPROXY_SOCKET_PATH"]
        assert len(socket) + 57 <= 97
    finally:
        folder.rmdir()


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
