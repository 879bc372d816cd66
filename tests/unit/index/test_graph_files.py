import random
from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, InvalidState, StorageFull
from akidb_ray.index.building import BuildStopped, GraphJob, ThreadGraphBuilder
from akidb_ray.index.graph_files import (
    DESCRIPTION,
    GRAPH,
    base_graph,
    check_graph,
    load_graph,
    write_graph,
)
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


@pytest.fixture
def job(tmp_path: Path) -> GraphJob:
    (tmp_path / "vectors").mkdir()
    return job_over(tmp_path / "vectors", Metric.DOT, VECTORS)


def _write(fs: FileSystem, job: GraphJob, folder: PurePosixPath = FOLDER) -> int:
    return write_graph(fs, folder, job, ThreadGraphBuilder(), lambda: False)


def _put(fs: FileSystem, name: str, content: bytes) -> int:
    fs.write(FOLDER / name, [content])
    return crc32c(content)


def _described(fs: FileSystem, **changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(fs.read(FOLDER / DESCRIPTION)) | changes)


def test_written_graph_is_loaded(fs: FileSystem, job: GraphJob) -> None:
    graph = load_graph(fs, FOLDER, _write(fs, job))
    assert (graph.rows, graph.metric, graph.dimension) == (ROWS, Metric.DOT, DIMENSION)
    assert recall(graph, Metric.DOT, VECTORS, clustered(20, 2, Metric.DOT), 10, 100) >= 0.95
    assert fs.list(FOLDER) == [GRAPH, DESCRIPTION]


def test_description_says_how_the_graph_was_built(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    raw = fs.read(FOLDER / DESCRIPTION)
    content = fs.read(FOLDER / GRAPH)
    described = msgspec.json.decode(raw)
    assert checksum == crc32c(raw)
    assert described.pop("scale") == base_graph(fs, FOLDER, checksum).description.scale
    assert described == {
        "format": 1,
        "engine": "hnswlib",
        "metric": "dot",
        "dimension": DIMENSION,
        "rows": ROWS,
        "m": 16,
        "ef_construction": 100,
        "files": {GRAPH: {"size_bytes": len(content), "crc32c": crc32c(content)}},
    }


def test_written_graph_survives_power_loss(job: GraphJob) -> None:
    fs = MemoryFileSystem()
    checksum = _write(fs, job)
    left = fs.power_loss(Keep.SYNCED, random.Random(1))
    assert load_graph(left, FOLDER, checksum).rows == ROWS


def test_graph_is_built_from_another_in_any_file_system(fs: FileSystem, job: GraphJob) -> None:
    base = base_graph(fs, FOLDER, _write(fs, job))
    other = PurePosixPath("indexes/two")
    checksum = _write(fs, replace(job, base=base), other)
    assert load_graph(fs, other, checksum).rows == ROWS


def test_stopped_build_leaves_no_file(fs: FileSystem, job: GraphJob) -> None:
    with pytest.raises(BuildStopped):
        write_graph(fs, FOLDER, job, ThreadGraphBuilder(), lambda: True)
    assert fs.list(FOLDER) == []


def test_full_disk_is_no_other_error(job: GraphJob) -> None:
    fs = MemoryFileSystem(capacity_bytes=10_000)
    with pytest.raises(StorageFull):
        _write(fs, job)
    assert not fs.exists(FOLDER / DESCRIPTION)


@pytest.mark.parametrize("name", [GRAPH, DESCRIPTION])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "missing"])
def test_damage_is_named_and_never_loaded(
    fs: FileSystem, job: GraphJob, name: str, damage: str
) -> None:
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
        load_graph(fs, FOLDER, checksum)
    assert caught.value.fields["file"] == str(FOLDER / name)
    findings = {check.name: check for check in check_graph(fs, FOLDER, checksum)}
    assert not findings[name].ok
    assert findings[name].reason == caught.value.fields["reason"]
    assert findings[name].size_bytes == (0 if damage == "missing" else len(damaged[damage]))
    if name == GRAPH:
        assert findings[DESCRIPTION].ok


def test_missing_folder_is_damage_too(fs: FileSystem) -> None:
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, 0)
    with pytest.raises(Corrupt, match=DESCRIPTION):
        base_graph(fs, FOLDER, 0)
    assert [check.ok for check in check_graph(fs, FOLDER, 0)] == [False]


def test_missing_file_is_no_base(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    fs.remove(FOLDER / GRAPH)
    with pytest.raises(Corrupt, match="missing"):
        base_graph(fs, FOLDER, checksum)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": "1"}', b"\xff\xfe", b"null"]
)
def test_what_is_no_description_is_corrupt(fs: FileSystem, job: GraphJob, raw: bytes) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, raw)
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, checksum)


@pytest.mark.parametrize(
    "changes", [{"rows": "many"}, {"scale": None}, {"metric": "hamming"}, {"files": []}]
)
def test_description_of_wrong_values_is_corrupt(
    fs: FileSystem, job: GraphJob, changes: dict[str, object]
) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, **changes))
    with pytest.raises(Corrupt, match=DESCRIPTION):
        load_graph(fs, FOLDER, checksum)


def test_graph_of_other_rows_than_described_is_corrupt(fs: FileSystem, job: GraphJob) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, rows=ROWS + 1))
    with pytest.raises(Corrupt, match="300 rows instead of 301"):
        load_graph(fs, FOLDER, checksum)


def test_description_without_the_graph_is_corrupt(fs: FileSystem, job: GraphJob) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, files={}))
    for read in (load_graph, base_graph):
        with pytest.raises(Corrupt, match=f"does not name {GRAPH}"):
            read(fs, FOLDER, checksum)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "rows": {}}, "index is of format 2, which does not allow: reading it with"),
        ({"engine": "faiss"}, "index is of engine 'faiss', which does not allow: reading it with"),
    ],
)
def test_graph_of_a_later_version_is_not_called_damaged(
    fs: FileSystem, job: GraphJob, changes: dict[str, object], message: str
) -> None:
    _write(fs, job)
    checksum = _put(fs, DESCRIPTION, _described(fs, **changes))
    for read in (load_graph, base_graph):
        with pytest.raises(InvalidState, match=message):
            read(fs, FOLDER, checksum)
    (finding,) = check_graph(fs, FOLDER, checksum)
    assert message in finding.reason


def test_whole_graph_passes_the_check(fs: FileSystem, job: GraphJob) -> None:
    checksum = _write(fs, job)
    checks = check_graph(fs, FOLDER, checksum)
    assert [(check.name, check.ok, check.reason) for check in checks] == [
        (DESCRIPTION, True, ""),
        (GRAPH, True, ""),
    ]
    assert [check.size_bytes for check in checks] == [
        fs.size_bytes(FOLDER / DESCRIPTION),
        fs.size_bytes(FOLDER / GRAPH),
    ]
