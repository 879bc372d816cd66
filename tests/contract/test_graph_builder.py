"""What every builder of graphs does with its files."""

import pickle
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import Corrupt, StorageFailed, StorageFull
from akidb_ray.index.building import (
    BaseGraph,
    BuildStopped,
    GraphBuilder,
    GraphJob,
    ThreadGraphBuilder,
)
from akidb_ray.index.graph_files import base_graph
from akidb_ray.index.hnsw import HnswGraph
from tests.contract.graphs import DIMENSION, GraphFolder, clustered, job_over, recall

# Enough for several blocks, with a graph so thin that it takes no time.
ROWS, THIN = 12_000, {"m": 4, "ef_construction": 8}
BASE_ROWS = 400
Damage = Callable[[bytes], bytes]


@pytest.fixture(params=[ThreadGraphBuilder])
def builder(request: pytest.FixtureRequest) -> GraphBuilder:
    built: GraphBuilder = request.param()
    return built


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return tmp_path / "made" / "graph"


@pytest.fixture
def base(tmp_path: Path) -> BaseGraph:
    """A graph over the first rows of `clustered(n, 1, L2)`."""
    (tmp_path / "base").mkdir()
    folder = GraphFolder(tmp_path / "base")
    job = job_over(tmp_path / "base", Metric.L2, _vectors(BASE_ROWS))
    return base_graph(folder.fs, *folder.write(job))


@pytest.fixture
def size_limit() -> Iterator[None]:
    """No file may grow above 10,000 bytes: the nearest to a full disk that needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _vectors(rows: int) -> np.ndarray:
    return clustered(ROWS, 1, Metric.L2)[:rows]


def _never() -> bool:
    return False


def _ignore(rows: int) -> None: ...


@pytest.mark.parametrize("metric", Metric)
def test_file_is_a_graph_over_the_vectors(
    builder: GraphBuilder, metric: Metric, target: Path, tmp_path: Path
) -> None:
    vectors, queries = clustered(2_000, 1, metric), clustered(50, 2, metric)
    builder.build(job_over(tmp_path, metric, vectors), str(target), _never, _ignore)
    graph = HnswGraph.load(metric, DIMENSION, str(target))
    assert graph.rows == len(vectors)
    assert recall(graph, metric, vectors, queries, 10, ef=100) >= 0.95


def test_same_vectors_give_the_same_file_with_one_thread(
    builder: GraphBuilder, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    vectors = _vectors(2_000)
    vectors[::3] = vectors[0]
    for start in (None, base):
        if start is not None:
            vectors[:BASE_ROWS] = _vectors(BASE_ROWS)
        job = job_over(tmp_path, Metric.L2, vectors, threads=1, base=start)
        contents = set()
        for _ in range(2):
            builder.build(job, str(target), _never, _ignore)
            contents.add(target.read_bytes())
        assert len(contents) == 1


def test_progress_rises_to_all_rows(builder: GraphBuilder, target: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    job = job_over(tmp_path, Metric.L2, _vectors(ROWS), threads=1, **THIN)
    builder.build(job, str(target), _never, seen.append)
    assert len(seen) > 2
    assert seen == sorted(set(seen))
    assert seen[-1] == ROWS


def test_progress_of_an_extension_begins_with_the_rows_of_its_base(
    builder: GraphBuilder, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    seen: list[int] = []
    job = job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base)
    builder.build(job, str(target), _never, seen.append)
    assert (seen[0], seen[-1]) == (BASE_ROWS, 2 * BASE_ROWS)


def test_extension_keeps_the_scale_of_its_base(
    builder: GraphBuilder, target: Path, tmp_path: Path
) -> None:
    vectors = clustered(400, 1, Metric.DOT)
    vectors[200:] *= 10
    folder = GraphFolder(tmp_path)
    start = base_graph(folder.fs, *folder.write(job_over(tmp_path, Metric.DOT, vectors[:200])))
    job = job_over(tmp_path, Metric.DOT, vectors, base=start)
    scale = builder.build(job, str(target), _never, _ignore).scale
    longest = float(np.linalg.norm(vectors[:200], axis=1).max())
    assert scale == start.description.scale == pytest.approx(longest)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_stopped_build_ends_at_once_and_leaves_nothing(
    builder: GraphBuilder, target: Path, tmp_path: Path, after: int
) -> None:
    """Stopped before anything, in the middle, and when all rows are in but not on the disk."""
    seen: list[int] = []
    blocks = [0]

    def progress(rows: int) -> None:
        seen.append(rows)
        blocks[0] = len(seen) - 1

    job = job_over(tmp_path, Metric.L2, _vectors(ROWS), threads=1, **THIN)
    with pytest.raises(BuildStopped):
        builder.build(job, str(target), lambda: blocks[0] >= after, progress)
    assert blocks[0] == after
    assert not list(target.parent.iterdir())


@pytest.mark.usefixtures("size_limit")
def test_full_disk_leaves_nothing(builder: GraphBuilder, target: Path, tmp_path: Path) -> None:
    vectors = _vectors(70)
    with pytest.raises(StorageFull):
        builder.build(job_over(tmp_path, Metric.L2, vectors), str(target), _never, _ignore)
    assert not list(target.parent.iterdir())


def test_target_that_cannot_be_written_is_an_error_of_ours(
    builder: GraphBuilder, target: Path, tmp_path: Path
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(10))
    with pytest.raises(StorageFailed):
        builder.build(job, str(target / "in" / "no" / "folder"), _never, _ignore)


@pytest.mark.parametrize("content", [None, b"", b"x" * (4 * 10 * DIMENSION - 1)])
def test_vectors_of_another_size_are_named(
    builder: GraphBuilder, target: Path, tmp_path: Path, content: bytes | None
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(10))
    Path(job.vectors_path).unlink()
    if content is not None:
        Path(job.vectors_path).write_bytes(content)
    with pytest.raises(Corrupt) as caught:
        builder.build(job, str(target), _never, _ignore)
    assert caught.value.fields["file"] == job.vectors_path
    assert not target.exists()


def test_vectors_that_cannot_be_read_are_an_error_of_ours(
    builder: GraphBuilder, target: Path, tmp_path: Path
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(10))
    with pytest.raises(StorageFailed):
        builder.build(
            replace(job, vectors_path=f"{job.vectors_path}/below"), str(target), _never, _ignore
        )


def _flip(at: float) -> Damage:
    def damage(raw: bytes) -> bytes:
        place = int(at * (len(raw) - 1))
        return raw[:place] + bytes([raw[place] ^ 0x41]) + raw[place + 1 :]

    return damage


def _cut(to: float) -> Damage:
    return lambda raw: raw[: int(to * (len(raw) - 1))]


@pytest.mark.parametrize(
    "damage",
    [*(_flip(n / 20) for n in range(21)), *(_cut(n / 5) for n in range(6)), lambda raw: raw + b"x"],
)
def test_damaged_base_is_named_and_never_loaded(
    builder: GraphBuilder, target: Path, tmp_path: Path, base: BaseGraph, damage: Damage
) -> None:
    # hnswlib would follow links and sizes that it finds in there out of its memory.
    Path(base.path).write_bytes(damage(Path(base.path).read_bytes()))
    job = job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base)
    with pytest.raises(Corrupt) as caught:
        builder.build(job, str(target), _never, _ignore)
    assert caught.value.fields["file"] == base.path
    assert not target.exists()


def test_missing_base_is_named(
    builder: GraphBuilder, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    Path(base.path).unlink()
    with pytest.raises(Corrupt, match="missing"):
        builder.build(
            job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base),
            str(target),
            _never,
            _ignore,
        )


@pytest.mark.parametrize(
    "change", [{"m": 8}, {"ef_construction": 50}, {"metric": Metric.DOT}, {"rows": BASE_ROWS - 1}]
)
def test_base_that_was_built_otherwise_is_refused(
    builder: GraphBuilder,
    target: Path,
    tmp_path: Path,
    base: BaseGraph,
    change: dict[str, object],
) -> None:
    rows = int(str(change.get("rows", 2 * BASE_ROWS)))
    job = job_over(tmp_path, Metric.L2, _vectors(rows), base=base)
    with pytest.raises(Corrupt):
        builder.build(replace(job, **change), str(target), _never, _ignore)  # type: ignore[arg-type]


def test_base_of_other_rows_than_it_says_is_refused(
    builder: GraphBuilder, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    lying = msgspec.structs.replace(base.description, rows=BASE_ROWS - 1)
    job = job_over(
        tmp_path,
        Metric.L2,
        _vectors(2 * BASE_ROWS),
        base=replace(base, description=lying),
    )
    with pytest.raises(Corrupt, match="400 rows instead of 399"):
        builder.build(job, str(target), _never, _ignore)


def test_job_can_be_sent_elsewhere(tmp_path: Path, base: BaseGraph) -> None:
    job: GraphJob = job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base)
    assert pickle.loads(pickle.dumps(job)) == job
