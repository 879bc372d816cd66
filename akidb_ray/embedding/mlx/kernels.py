"""Compiles what `elementwise` needs, once per machine and user, before the first text comes.

`mx.compile` on a CPU writes C++ into the folder for temporary files, runs g++ and loads the result,
and takes about a second for each kernel. That folder is open to everybody, so another user could
place a library there that we would load; and two processes that start together could read each
other's half-written files. So kernels are made in a new private folder, which then gets its final
name in one step. Where there is no compiler, MLX runs the same functions operation by operation.
"""

import hashlib
import logging
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx

from akidb_ray.embedding.mlx import elementwise

_log = logging.getLogger(__name__)


@cache
def prepare_kernels() -> None:
    """Load the kernels, from the cache when they are there. Once per process; needs no compiler."""
    if mx.default_device() != mx.cpu:
        return  # Metal and CUDA compile in memory.
    if shutil.which("g++") is None:
        _log.warning("no g++ found: embedding will be half as fast; apt install g++")
        return
    try:
        with _cache_root() as root:
            _load_or_compile(root)
    except (OSError, RuntimeError) as error:
        _log.warning("kernels can't be used, so embedding will be slower: %s", error)
        mx.disable_compile()


def _load_or_compile(root: Path) -> None:
    finished = root / _kernel_set()
    if finished.is_dir():
        with _temporary_files_in(finished):
            _run_all()
        return
    unfinished = Path(tempfile.mkdtemp(dir=root))
    try:
        with _temporary_files_in(unfinished):
            _run_all()
        unfinished.rename(finished)
    except OSError:
        # Another process was first. Ours are loaded, which is all that this process needs.
        if not finished.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run_all() -> None:
    sample = mx.zeros((2, 2))
    mx.eval(elementwise.gelu(sample), elementwise.exp_scaled(sample))


def _kernel_set() -> str:
    """A name that changes whenever the kernels may."""
    source = Path(elementwise.__file__).read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:16]
    return f"mlx-{version('mlx')}-{platform.machine()}-{digest}"


@contextmanager
def _cache_root() -> Iterator[Path]:
    """A folder that only this user can write to; one for this process alone if there is none."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(home) / "akidb" / "kernels"
    if _make_private(root):
        yield root
        return
    with tempfile.TemporaryDirectory() as own:
        yield Path(own)


def _make_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return False
    writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not writable_by_others and os.access(folder, os.W_OK)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """MLX asks for the folder of temporary files at each compilation, and has no other setting."""
    tempfile.gettempdir()  # Python asks once: let it be before, not meanwhile in another thread.
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
