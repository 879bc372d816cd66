"""What a graph takes in memory, and what is left when it goes: measured in a process of its own."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from akidb_ray.domain.collection import HnswEngine

ROOT = Path(__file__).parents[3]
MEASURE = """
import ctypes, gc, json, re, sys
from pathlib import Path, PurePosixPath
import numpy as np
from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.index.building import GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import load_graph, write_graph
from akidb_ray.storage.os_filesystem import OsFileSystem

ROWS, REPEATED, DIMENSION = 30_000, 3_000, 64

def used():
    gc.collect()
    # glibc keeps freed memory for later; this gives it back, so that only what is in use counts.
    ctypes.CDLL(None).malloc_trim(0)
    # What is mapped from files does not count.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) * 1024

def load():
    vectors = np.memmap(path, np.float32, "r", shape=(ROWS, DIMENSION)).view(np.ndarray)
    return load_graph(fs, folder, checksum, vectors)

root, folder = Path(sys.argv[1]), PurePosixPath("graph")
path, fs = str(root / "vectors"), OsFileSystem(root / "files")
vectors = np.random.default_rng(1).normal(size=(ROWS, DIMENSION)).astype(np.float32)
vectors[-REPEATED:] = vectors[:REPEATED]
Path(path).write_bytes(vectors.tobytes())
job = GraphJob(Metric.L2, DIMENSION, ROWS, path, 8, 8, 2, HnswEngine(sys.argv[2]))
checksum = write_graph(fs, folder, job, ThreadGraphBuilder(), lambda: False)
query = vectors[0].copy()
del vectors
load().search(query, 10, 100)
before = used()
graph = load()
figures = {"said": graph.memory_bytes, "held": used() - before}
for _ in range(5):
    graph = load()
    graph.search(query, 10, 100)
figures["held_later"] = used() - before
del graph
figures["left"] = used() - before
print(json.dumps(figures))
"""
VECTORS_BYTES = 30_000 * 64 * 4


@pytest.fixture(scope="module", params=HnswEngine)
def engine(request: pytest.FixtureRequest) -> HnswEngine:
    return HnswEngine(request.param)


@pytest.fixture(scope="module")
def figures(engine: HnswEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("reads /proc and asks glibc")
    command = [sys.executable, "-c", MEASURE, str(tmp_path_factory.mktemp("graph")), engine]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured: dict[str, int] = json.loads(made.stdout)
    return measured


def test_graph_says_what_it_holds(figures: dict[str, int]) -> None:
    assert figures["held"] == pytest.approx(figures["said"], rel=0.1, abs=150_000)


def test_mapped_graph_holds_neither_vectors_nor_links(
    figures: dict[str, int], engine: HnswEngine
) -> None:
    if engine is HnswEngine.FAISS:
        assert figures["held"] < VECTORS_BYTES / 10
    else:
        assert figures["held"] > VECTORS_BYTES


def test_dropped_graph_gives_its_memory_back(figures: dict[str, int]) -> None:
    assert figures["left"] < 0.05 * figures["said"] + 150_000


def test_replaced_graphs_do_not_pile_up(figures: dict[str, int]) -> None:
    assert figures["held_later"] < 1.05 * figures["held"] + 150_000
