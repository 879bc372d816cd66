import random
from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
import pytest

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.domain.errors import Corrupt, InvalidState, StorageFull
from akidb_ray.index.building import BuildStopped, GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import (
    DESCRIPTION,
    GRAPHS,
    base_graph,
    check_graph,
    load_graph,
    write_graph,
)
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.memory_disk import Keep
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.contract.graphs import DIMENSION, clustered, job_over, recall

ROWS = 300
FOLDER = PurePosixPath("indexes/one")
VECTORS = clustered(ROWS, 1, Metric.DOT)


@pytest.fixture(params=["os", "memory"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    return OsFileSystem(tmp_path / "root") if request.param == "os" else MemoryFileSystem()


@pytest.fixture(params=HnswEngine)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> GraphJob:
    (tmp_path / "vectors").mkdir()
    return job_over(tmp_path / "vectors", Metric.DOT, VECTORS, engine=request.param)


def _write(fs: FileSystem, job: GraphJob, folder: PurePosixPath = FOLDER) -> int:
    return write_graph(fs, folder, job, ThreadGraphBuilder(), lambda: False)


def _load(fs: FileSystem, folder: PurePosixPath, checksum: int) -> VectorIndex:
    return load_graph(fs, folder, checksum, VECTORS)


def _put(fs: FileSystem, name: str, content: bytes) -> int:
    fs.write(FOLDER / name, [content])
    return crc32c(content)


def _described(fs: FileSystem, **changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(fs.read(FOLDER / DESCRIPTION)) | changes)


def test_written_graph_is_loaded(fs: FileSystem, job: GraphJob) -> None:
    graph = load_graph(fs, FOLDER, _write(fs, job), VECTORS)
    assert graph.rows == ROWS
    assert graph.takes_mask == (job.engine is HnswEngine.FAISS)
    assert recall(graph, Metric.DOT, VECTORS, clustered(20, 2, Metric.DOT), 10, 100) >= 0.95
    assert fs.list(FOLDER) == sorted([GRAPHS[job.engine], DESCRIPTION])


def test_description_says_how_the_graph_was_built(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    name = GRAPHS[job.engine]
    raw, content = fs.read(FOLDER / DESCRIPTION), fs.read(FOLDER / name)
    described = msgspec.json.decode(raw)
    read = base_graph(fs, FOLDER, checksum).description
    assert checksum == crc32c(raw)
    assert (described.pop("scale"), described.pop("entry")) == (read.scale, read.entry)
    assert described == {
        "format": 1,
        "engine": str(job.engine),
        "metric": "dot",
        "dimension": DIMENSION,
        "rows": ROWS,
        "m": 16,
        "ef_construction": 100,
        "files": {name: {"size_bytes": len(content), "crc32c": crc32c(content)}},
        "even": False,
    }


def test_written_graph_survives_power_loss(job: GraphJob) -> None:
    fs = MemoryFileSystem()
    checksum = _write(fs, job)
    left = fs.power_loss(Keep.SYNCED, random.Random(1))
    assert load_graph(left, FOLDER, checksum, VECTORS).rows == ROWS


def test_graph_is_built_from_another_in_any_file_system(fs: FileSystem, job: GraphJob) -> None:
    base = base_graph(fs, FOLDER, _write(fs, job))
    other = PurePosixPath("indexes/two")
    checksum = _write(fs, replace(job, base=base), other)
    assert load_graph(fs, other, checksum, VECTORS).rows == ROWS


def test_stopped_build_leaves_no_file(fs: FileSystem, job: GraphJob) -> None:
    with pytest.raises(BuildStopped):
        write_graph(fs, FOLDER, job, ThreadGraphBuilder(), lambda: True)
    assert fs.list(FOLDER) == []


def test_full_disk_is_no_other_error(job: GraphJob) -> None:
    fs = MemoryFileSystem(capacity_bytes=10_000)
    with pytest.raises(StorageFull):
        _write(fs, job)
    assert not fs.exists(FOLDER / DESCRIPTION)


@pytest.mark.parametrize("file", ["graph", "description"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "missing"])
def test_damage_is_named_and_never_loaded(
    fs: FileSystem, job: GraphJob, file: str, damage: str
) -> None:
    name = GRAPHS[job.engine] if file == "graph" else DESCRIPTION
    checksum = _write(fs, job)
    raw = fs.read(FOLDER / name)
    middle = len(raw) // 2
    damaged = {
        "flipped": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
        "cut": raw[:middle],
        "empty": b"",
    }
    if damage == "missing":
        fs.remove(FOLDER / name)
    else:
        fs.write(FOLDER / name, [damaged[damage]])
    with pytest.raises(Corrupt) as caught:
        load_graph(fs, FOLDER, checksum, VECTORS)
    assert caught.value.fields["file"] == str(FOLDER / name)
    findings = {check.name: check for check in check_graph(fs, FOLDER, checksum)}
    assert not findings[name].ok
    assert findings[name].reason == caught.value.fields["reason"]
    assert findings[name].size_bytes == (0 if damage == "missing" else len(damaged[damage]))
    if file == "graph":
        assert findings[DESCRIPTION].ok


def test_missing_folder_is_damage_too(fs: FileSystem) -> None:
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, 0, VECTORS)
    with pytest.raises(Corrupt, match=DESCRIPTION):
        base_graph(fs, FOLDER, 0)
    assert [check.ok for check in check_graph(fs, FOLDER, 0)] == [False]


def test_missing_file_is_no_base(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    fs.remove(FOLDER / GRAPHS[job.engine])
    with pytest.raises(Corrupt, match="missing"):
        base_graph(fs, FOLDER, checksum)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": "1"}', b"\xff\xfe", b"null"]
)
def test_what_is_no_description_is_corrupt(fs: FileSystem, job: GraphJob, raw: bytes) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, raw)
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, checksum, VECTORS)


@pytest.mark.parametrize(
    "changes", [{"rows": "many"}, {"scale": None}, {"metric": "hamming"}, {"files": []}]
)
def test_description_of_wrong_values_is_corrupt(
    fs: FileSystem, job: GraphJob, changes: dict[str, object]
) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, **changes))
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, checksum, VECTORS)


def test_graph_of_other_rows_than_described_is_corrupt(fs: FileSystem, job: GraphJob) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, rows=ROWS + 1))
    vectors = clustered(ROWS + 1, 1, Metric.DOT)
    with pytest.raises(Corrupt, match=r"300 rows instead of 301|fit its levels") as caught:
        load_graph(fs, FOLDER, checksum, vectors)
    assert caught.value.fields["file"] == str(FOLDER / GRAPHS[job.engine])


@pytest.mark.parametrize("entry", [-1, ROWS])
def test_links_that_start_nowhere_are_corrupt(fs: FileSystem, job: GraphJob, entry: int) -> None:
    _write(fs, replace(job, engine=HnswEngine.FAISS))
    checksum = _put(fs, DESCRIPTION, _described(fs, entry=entry))
    with pytest.raises(Corrupt, match=GRAPHS[HnswEngine.FAISS]):
        load_graph(fs, FOLDER, checksum, VECTORS)


@pytest.mark.parametrize("shape", [(ROWS - 1, DIMENSION), (ROWS, DIMENSION + 1), (ROWS * 2, 16)])
def test_vectors_of_another_shape_are_refused(
    fs: FileSystem, job: GraphJob, shape: tuple[int, int]
) -> None:
    checksum = _write(fs, job)
    with pytest.raises(Corrupt, match=f"is of 300 x 32 vectors instead of {shape[0]} x {shape[1]}"):
        load_graph(fs, FOLDER, checksum, np.zeros(shape, np.float32))


def test_hnswlib_graph_of_before_there_were_links_is_opened_and_extended(
    fs: FileSystem, job: GraphJob
) -> None:
    """Its description knows no entry."""
    _write(fs, replace(job, engine=HnswEngine.HNSWLIB))
    described = msgspec.json.decode(fs.read(FOLDER / DESCRIPTION))
    del described["entry"]
    checksum = _put(fs, DESCRIPTION, msgspec.json.encode(described))
    assert load_graph(fs, FOLDER, checksum, VECTORS).rows == ROWS
    other = PurePosixPath("indexes/two")
    again = _write(fs, replace(job, base=base_graph(fs, FOLDER, checksum)), other)
    assert load_graph(fs, other, again, VECTORS).rows == ROWS


def test_description_without_the_graph_is_corrupt(fs: FileSystem, job: GraphJob) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, files={}))
    for read in (_load, base_graph):
        with pytest.raises(Corrupt, match=f"does not name {GRAPHS[job.engine]}"):
            read(fs, FOLDER, checksum)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "rows": {}}, "index is of format 2, which does not allow: reading it with"),
        ({"engine": "disk"}, "index is of engine 'disk', which does not allow: reading it with"),
    ],
)
def test_graph_of_a_later_version_is_not_called_damaged(
    fs: FileSystem, job: GraphJob, changes: dict[str, object], message: str
) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, **changes))
    for read in (_load, base_graph):
        with pytest.raises(InvalidState, match=message):
            read(fs, FOLDER, checksum)
    (finding,) = check_graph(fs, FOLDER, checksum)
    assert message in finding.reason


def test_whole_graph_passes_the_check(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    checks = check_graph(fs, FOLDER, checksum)
    assert [(check.name, check.ok, check.reason) for check in checks] == [
        (DESCRIPTION, True, ""),
        (GRAPHS[job.engine], True, ""),
    ]
    assert [check.size_bytes for check in checks] == [
        fs.size_bytes(FOLDER / DESCRIPTION),
        fs.size_bytes(FOLDER / GRAPHS[job.engine]),
    ]
