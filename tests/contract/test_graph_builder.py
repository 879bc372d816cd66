"""What every builder of graphs does with its files."""

import contextlib
import pickle
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.domain.errors import Corrupt, StorageFailed, StorageFull
from akidb_ray.index.building import (
    BaseGraph,
    BuildStopped,
    BuiltGraph,
    GraphBuilder,
    GraphJob,
    ThreadGraphBuilder,
)
from akidb_ray.index.faiss_graph import FaissGraph
from akidb_ray.index.graph_files import base_graph
from akidb_ray.index.hnswlib_graph import HnswlibGraph
from akidb_ray.index.links import decode_links
from akidb_ray.index.vector_index import VectorIndex
from tests.contract.graphs import DIMENSION, IndexFolder, clustered, job_over, recall

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


@pytest.fixture(params=HnswEngine)
def engine(request: pytest.FixtureRequest) -> HnswEngine:
    return HnswEngine(request.param)


@pytest.fixture(params=HnswEngine, ids=lambda engine: f"base of {engine}")
def base(request: pytest.FixtureRequest, tmp_path: Path) -> BaseGraph:
    """A graph over the first rows of `clustered(n, 1, L2)`."""
    return _base(tmp_path, request.param, Metric.L2, _vectors(BASE_ROWS))


def _base(
    tmp_path: Path, engine: HnswEngine, metric: Metric, vectors: np.ndarray, **changes: object
) -> BaseGraph:
    place = tmp_path / f"base of {engine}"
    place.mkdir(exist_ok=True)
    folder = IndexFolder(place)
    job = job_over(place, metric, vectors, engine=engine, **changes)
    return base_graph(folder.fs, *folder.write(job))


def _opened(job: GraphJob, built: BuiltGraph, target: Path, vectors: np.ndarray) -> VectorIndex:
    if job.engine is HnswEngine.HNSWLIB:
        return HnswlibGraph.load(job.metric, DIMENSION, str(target))
    links = decode_links(target.read_bytes(), job.rows, job.m, built.entry)
    return FaissGraph(job.metric, vectors, links)


@contextlib.contextmanager
def _size_limit(limit_bytes: int) -> Iterator[None]:
    """No file may grow above it: the nearest to a full disk that needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _vectors(rows: int) -> np.ndarray:
    return clustered(ROWS, 1, Metric.L2)[:rows]


def _never() -> bool:
    return False


def _ignore(rows: int) -> None: ...


@pytest.mark.parametrize("metric", Metric)
def test_file_is_a_graph_over_the_vectors(
    builder: GraphBuilder, engine: HnswEngine, metric: Metric, target: Path, tmp_path: Path
) -> None:
    vectors, queries = clustered(2_000, 1, metric), clustered(50, 2, metric)
    job = job_over(tmp_path, metric, vectors, engine=engine)
    graph = _opened(job, builder.build(job, str(target), _never, _ignore), target, vectors)
    assert graph.rows == len(vectors)
    assert recall(graph, metric, vectors, queries, 10, ef=100) >= 0.95
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("repeated", ["none", "new rows", "base and new rows"])
def test_graph_is_extended_whichever_engine_its_base_was_for(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path, repeated: str
) -> None:
    queries = clustered(50, 2, Metric.DOT)
    vectors = clustered(2_000, 1, Metric.DOT)
    if repeated != "none":
        vectors[(0 if repeated.startswith("base") else 1_000) :: 3] = vectors[0]
    for base_engine in HnswEngine:
        base = _base(tmp_path, base_engine, Metric.DOT, vectors[:1_000])
        job = job_over(tmp_path, Metric.DOT, vectors, base=base, engine=engine)
        graph = _opened(job, builder.build(job, str(target), _never, _ignore), target, vectors)
        assert graph.rows == len(vectors)
        assert recall(graph, Metric.DOT, vectors, queries, 10, ef=100) >= 0.95
        assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("ef_construction", [8, 100])
def test_base_of_either_engine_leads_to_the_same_graph(
    builder: GraphBuilder, target: Path, tmp_path: Path, ef_construction: int
) -> None:
    """Nothing that matters to a build is lost when the links alone are kept."""
    how = {"ef_construction": ef_construction, "threads": 1}
    contents = set()
    for base_engine in HnswEngine:
        base = _base(tmp_path, base_engine, Metric.DOT, _vectors(BASE_ROWS), **how)
        job = job_over(tmp_path, Metric.DOT, _vectors(2_000), base=base, **how)
        builder.build(job, str(target), _never, _ignore)
        contents.add(target.read_bytes())
    assert len(contents) == 1


def test_same_vectors_give_the_same_file_with_one_thread(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path
) -> None:
    vectors = _vectors(2_000)
    vectors[::3] = vectors[0]
    for start in (None, _base(tmp_path, engine, Metric.L2, vectors[:BASE_ROWS])):
        job = job_over(tmp_path, Metric.L2, vectors, threads=1, base=start, engine=engine)
        contents = set()
        for _ in range(2):
            builder.build(job, str(target), _never, _ignore)
            contents.add(target.read_bytes())
        assert len(contents) == 1


@pytest.mark.parametrize("repeated", [False, True])
def test_progress_rises_to_all_rows(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path, repeated: bool
) -> None:
    vectors = _vectors(ROWS)
    if repeated:
        vectors[ROWS - 2_000 :: 2] = vectors[0]
        vectors[-5:] = vectors[0]
    seen: list[int] = []
    job = job_over(tmp_path, Metric.L2, vectors, threads=1, engine=engine, **THIN)
    builder.build(job, str(target), _never, seen.append)
    assert len(seen) > 2
    assert seen == sorted(set(seen))
    assert seen[-1] == ROWS


def test_progress_of_an_extension_begins_with_the_rows_of_its_base(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    seen: list[int] = []
    job = job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base, engine=engine)
    builder.build(job, str(target), _never, seen.append)
    assert (seen[0], seen[-1]) == (BASE_ROWS, 2 * BASE_ROWS)


def test_extension_keeps_the_scale_of_its_base(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path
) -> None:
    vectors = clustered(400, 1, Metric.DOT)
    vectors[200:] *= 10
    start = _base(tmp_path, engine, Metric.DOT, vectors[:200])
    job = job_over(tmp_path, Metric.DOT, vectors, base=start)
    scale = builder.build(job, str(target), _never, _ignore).scale
    longest = float(np.linalg.norm(vectors[:200], axis=1).max())
    assert scale == start.description.scale == pytest.approx(longest)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_stopped_build_ends_at_once_and_leaves_nothing(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path, after: int
) -> None:
    """Stopped before anything, in the middle, and when all rows are in but not on the disk."""
    seen: list[int] = []
    blocks = [0]

    def progress(rows: int) -> None:
        seen.append(rows)
        blocks[0] = len(seen) - 1

    job = job_over(tmp_path, Metric.L2, _vectors(ROWS), threads=1, engine=engine, **THIN)
    with pytest.raises(BuildStopped):
        builder.build(job, str(target), lambda: blocks[0] >= after, progress)
    assert blocks[0] == after
    assert not list(target.parent.iterdir())


def test_full_disk_leaves_nothing(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(70), engine=engine)
    with _size_limit(10_000), pytest.raises(StorageFull):
        builder.build(job, str(target), _never, _ignore)
    assert not list(target.parent.iterdir())


def test_disk_that_is_full_before_the_base_is_read_leaves_nothing(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path, base: BaseGraph
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(BASE_ROWS + 1), base=base, engine=engine)
    with _size_limit(10_000), pytest.raises(StorageFull):
        builder.build(job, str(target), _never, _ignore)
    assert not list(target.parent.iterdir())


def test_target_that_cannot_be_written_is_an_error_of_ours(
    builder: GraphBuilder, engine: HnswEngine, target: Path, tmp_path: Path
) -> None:
    job = job_over(tmp_path, Metric.L2, _vectors(10), engine=engine)
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
    assert not list(target.parent.iterdir())


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
    with pytest.raises(Corrupt, match=r"400 rows instead of 399|does not fit its levels") as caught:
        builder.build(job, str(target), _never, _ignore)
    assert caught.value.fields["file"] == base.path


def test_job_can_be_sent_elsewhere(tmp_path: Path, base: BaseGraph) -> None:
    job: GraphJob = job_over(tmp_path, Metric.L2, _vectors(2 * BASE_ROWS), base=base)
    assert pickle.loads(pickle.dumps(job)) == job
