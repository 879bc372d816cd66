"""Gives MLX a fast BLAS on Linux.

The wheel of MLX for CPUs links the reference BLAS: about 7 GFLOP/s. Symbols of a library that was
loaded before, globally, win over those of libraries loaded later. So an OpenBLAS loaded that way
before MLX is imported takes over its matrix products: about 100 GFLOP/s on one core. On macOS MLX
uses Metal and Accelerate, and there is nothing to do.
"""

import ctypes
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_log = logging.getLogger(__name__)

# MLX runs an operation on one core, and one process per core beats one with four BLAS threads.
# A build with OpenMP, as faiss-cpu has it, listens to the second name and ignores the first.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

# Each needs those before it, and is found by its path as none of them is on the search path.
_FAISS_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")


@cache
def load_blas() -> str | None:
    """Load OpenBLAS for MLX, once per process. Must run before `import mlx.core`.

    Takes the system's library, else the one in the wheel of faiss-cpu (which is not imported). It
    uses one thread, unless OPENBLAS_NUM_THREADS or OMP_NUM_THREADS says otherwise. Returns what was
    loaded, or None: on macOS, and with a warning where there is no OpenBLAS.
    """
    if sys.platform != "linux":
        return None
    with _one_thread_by_default():
        loaded = _load_from_system() or _load_from_faiss()
    if loaded is None:
        _log.warning(
            "no OpenBLAS found: embedding on the CPU will be about 10 times slower. "
            "Install one: apt install libopenblas0-pthread, or pip install faiss-cpu"
        )
    return loaded


def _load_from_system() -> str | None:
    for name in ("libopenblas.so.0", "libopenblas.so"):
        if _load(name):
            return name
    return None


def _load_from_faiss() -> str | None:
    spec = importlib.util.find_spec("faiss")  # runs nothing of faiss
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent / "faiss_cpu.libs"
    loaded = None
    for name in _FAISS_LIBRARIES:
        loaded = next((str(path) for path in folder.glob(f"{name}*") if _load(str(path))), None)
    return loaded  # of the last one, the BLAS itself


def _load(library: str) -> bool:
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


@contextmanager
def _one_thread_by_default() -> Iterator[None]:
    """OpenBLAS reads these when it is loaded. They go again, so that no child inherits them."""
    if any(name in os.environ for name in _THREAD_VARIABLES):
        yield
        return
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            os.environ.pop(name, None)
