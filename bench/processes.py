"""Servers as child processes: started, waited for, stopped; what they take of the machine."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.2


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, port: int, ready: str
) -> Iterator[psutil.Process]:
    """The process, once `ready`, a path, answers 200; ended afterwards by SIGTERM. What it prints
    goes to `log`, whose end is told when it does not start.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(port, ready), _START_TIMEOUT_S, log
        )
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {_tail(log)}")
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool], timeout_s: float, log: Path) -> None:
    """Raises RuntimeError with the end of `log` when it takes too long."""
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"not within {timeout_s:.0f} s: {_tail(log)}")
        time.sleep(_POLL_S)


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Seconds that these have had of the cores; one that is gone counts no more."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_mib(processes: Sequence[psutil.Process]) -> float:
    """The sum of their resident memory: what several share is in it several times."""
    return _sum_mib(processes, lambda process: process.memory_info().rss)


def private_mib(processes: Sequence[psutil.Process]) -> float:
    """The sum of what is theirs alone: without mapped files, which the system drops when it needs
    room, and without what they share. Elsewhere than on Linux the same as `resident_mib`.
    """
    return _sum_mib(processes, lambda process: _private(process.memory_info()))


def _private(memory: Any) -> int:
    private: int = memory.rss - getattr(memory, "shared", 0)
    return private


def proportional_mib(processes: Sequence[psutil.Process]) -> float:
    """The same with each shared page divided among those who share it. Slow; Linux only."""
    return _sum_mib(processes, lambda process: process.memory_full_info().pss)


def _sum_mib(processes: Sequence[psutil.Process], size: Callable[[psutil.Process], int]) -> float:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += size(process)
    return total / 1024**2


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
