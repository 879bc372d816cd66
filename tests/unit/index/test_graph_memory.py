"""What a graph takes in memory, and what is left when it goes: measured in a process of its own."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEASURE = """
import ctypes, gc, json, mmap, sys
import numpy as np
from akidb_ray.domain.collection import Metric
from akidb_ray.index.hnsw import HnswGraph

def used():
    gc.collect()
    # glibc keeps freed memory for later; this gives it back, so that only what is in use counts.
    ctypes.CDLL(None).malloc_trim(0)
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE

def load():
    return HnswGraph.load(Metric.L2, 64, sys.argv[1])

vectors = np.random.default_rng(1).normal(size=(30_000, 64)).astype(np.float32)
HnswGraph.build(Metric.L2, vectors, m=8, ef_construction=8, threads=2).save(sys.argv[1])
load()
before = used()
graph = load()
figures = {"said": graph.memory_bytes, "held": used() - before}
for _ in range(5):
    graph = load()
    graph.search(vectors[0], 10, 100)
figures["held_later"] = used() - before
del graph
figures["left"] = used() - before
print(json.dumps(figures))
"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("reads /proc and asks glibc")
    path = tmp_path_factory.mktemp("graph") / "graph"
    command = [sys.executable, "-c", MEASURE, str(path)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured: dict[str, int] = json.loads(made.stdout)
    return measured


def test_graph_says_what_it_holds(figures: dict[str, int]) -> None:
    assert figures["held"] == pytest.approx(figures["said"], rel=0.1)


def test_dropped_graph_gives_its_memory_back(figures: dict[str, int]) -> None:
    assert figures["left"] < 0.05 * figures["said"]


def test_replaced_graphs_do_not_pile_up(figures: dict[str, int]) -> None:
    assert figures["held_later"] < 1.05 * figures["held"]
