"""What a shard takes goes back to the system when it is closed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.replicas import TENANTS
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.crash.memory_child import DIMENSION, LARGE, NEAR_MB, POLICY, ROUNDS, SMALL
from tests.unit.shard.shards import opened, seal

ROOT = Path(__file__).parents[2]
SPEC = CollectionSpec(DIMENSION, Metric.L2, hnsw_m=8, hnsw_ef_construction=16)

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def _fill(folder: Path) -> None:
    for shard, rows in ((LARGE, 30_000), (SMALL, 10)):
        replica = opened(OsFileSystem(folder / TENANTS / shard.path), POLICY, SPEC)
        vectors = np.random.default_rng(rows).normal(size=(rows, DIMENSION)).astype(np.float32)
        ids = [str(number) for number in range(rows)]
        documents = DocumentBatch(ids, vectors, ["some text"] * rows, [b'{"n":1}'] * rows)
        replica.write(ShardUpsert(shard, documents, RowFilter()))
        seal(replica)
        replica.close()


def _reports(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.crash.memory_child", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_memory_and_files_of_a_closed_shard_go_back(tmp_path: Path) -> None:
    _fill(tmp_path)
    before, *turns, closed = _reports(tmp_path)
    used, unused = turns[::2], turns[1::2]
    assert len(used) == len(unused) == ROUNDS
    for report in used:
        assert report["resident_mb"] > before["resident_mb"] + 3 * NEAR_MB
        assert any("vectors.f32" in name for name in report["held"])
        assert any("LOCK" in name for name in report["held"])
    for report in (*unused, closed):
        assert report["resident_mb"] < before["resident_mb"] + NEAR_MB
        assert report["held"] == []
