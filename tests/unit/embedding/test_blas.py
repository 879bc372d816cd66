"""A real OpenBLAS is in the process before MLX is, and serves it."""

import logging
import os
import subprocess
import sys

import pytest

from akidb_ray.embedding.mlx import blas

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="MLX has its own BLAS elsewhere")

# Which mapped file holds the cblas_sgemm that a library loaded from now on would bind to.
_PROVIDER = """
import ctypes, os, sys
before = dict(os.environ)
import akidb_ray.embedding.mlx
assert 'mlx.core' not in sys.modules and 'faiss' not in sys.modules
assert dict(os.environ) == before
import mlx.core
address = ctypes.cast(ctypes.CDLL(None).cblas_sgemm, ctypes.c_void_p).value
for line in open('/proc/self/maps'):
    start, end = (int(part, 16) for part in line.split()[0].split('-'))
    if start <= address < end:
        print(line.split()[-1])
"""

# MLX evaluates in a thread of its own; OpenBLAS with threads would use more CPU time than time.
_ONE_THREAD = """
import resource, time
import akidb_ray.embedding.mlx
import mlx.core as mx
a = mx.ones((1024, 1024)); mx.eval(a @ a)
start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
for _ in range(10): mx.eval(a @ a)
wall = time.perf_counter() - start
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime
assert cpu < 1.5 * wall, (cpu, wall)
"""


def _without_thread_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}


@linux_only
def test_matrix_products_of_mlx_come_from_openblas() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _PROVIDER],
        check=True,
        capture_output=True,
        text=True,
        env=_without_thread_settings(),
    )
    assert "openblas" in found.stdout


@linux_only
def test_openblas_runs_on_one_thread() -> None:
    subprocess.run([sys.executable, "-c", _ONE_THREAD], check=True, env=_without_thread_settings())


@linux_only
def test_missing_openblas_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blas, "_load", lambda library: False)
    blas.load_blas.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert blas.load_blas() is None
            assert blas.load_blas() is None
    finally:
        blas.load_blas.cache_clear()
    (record,) = caplog.records
    assert "10 times slower" in record.getMessage()
    assert "libopenblas0-pthread" in record.getMessage()
