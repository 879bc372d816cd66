"""The cache of compiled kernels: private, made whole, and never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

DATA = Path(__file__).parents[2] / "data" / "embedding"

# Loads the model in a process of its own, and compares with PyTorch.
_EMBED = f"""
import json, os
import numpy as np
from akidb_ray.embedding.models import load_embedder
before = dict(os.environ)
embedder = load_embedder("all-MiniLM-L6-v2")
assert dict(os.environ) == before
texts = json.load(open({str(DATA / "texts.json")!r}))
expected = np.load({str(DATA / "minilm_expected.npy")!r})
assert (embedder.embed(texts, "query").vectors * expected).sum(axis=1).min() > 0.999999
"""

on_cpu = pytest.mark.skipif(mx.default_device() != mx.cpu, reason="kernels are not files")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")


def _start(cache: Path, path: str | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    if path is not None:
        environment["PATH"] = path
    return subprocess.Popen(
        [sys.executable, "-c", _EMBED], env=environment, stderr=subprocess.PIPE, text=True
    )


def _finish(process: subprocess.Popen[str]) -> str:
    """What the process logged. Fails when it failed."""
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said


@on_cpu
@needs_compiler
def test_processes_that_start_together_leave_one_whole_cache(tmp_path: Path) -> None:
    together = [_start(tmp_path) for _ in range(2)]
    assert [_finish(process) for process in together] == ["", ""]
    root = tmp_path / "akidb" / "kernels"
    assert root.stat().st_mode & 0o777 == 0o700
    (made,) = root.iterdir()
    libraries = {path.name: path.stat().st_mtime_ns for path in made.rglob("*.so")}
    assert len(libraries) == 5
    assert _finish(_start(tmp_path)) == ""
    assert {path.name: path.stat().st_mtime_ns for path in made.rglob("*.so")} == libraries


@on_cpu
@needs_compiler
def test_cache_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    root = tmp_path / "akidb" / "kernels"
    root.mkdir(parents=True)
    root.chmod(0o777)
    assert _finish(_start(tmp_path)) == ""
    assert list(root.iterdir()) == []


@on_cpu
def test_without_a_compiler_vectors_are_the_same(tmp_path: Path) -> None:
    said = _finish(_start(tmp_path, path=str(tmp_path)))
    assert "no g++ found" in said


@on_cpu
def test_with_a_broken_compiler_vectors_are_the_same(tmp_path: Path) -> None:
    broken = tmp_path / "g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    broken.chmod(0o755)
    said = _finish(_start(tmp_path, path=f"{tmp_path}:/usr/bin:/bin"))
    assert "kernels can't be used" in said
