"""What searches find of what is there: recall against comparing with everything, and an order that
depends on nothing but the documents.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from akidb_ray.domain.collection import CollectionSpec, HnswEngine, Metric
from akidb_ray.domain.filter import EVERYTHING, Filter, Match, MatchExcept, Range, RowFilter
from akidb_ray.domain.query import VectorQuery
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.unit.shard.shards import POLICY, delete, opened, seal, upsert, work

DIMENSION, DOCUMENTS, CLUSTERS, QUERIES = 32, 12_000, 40, 12
K, EF, ENOUGH = 10, 200, 0.99
# Documents have a random whole number below this, by which filters choose shares of them.
PARTS = 1000
GRAPHED = replace(POLICY, seal_rows=100_000, index_min_rows=1_000)
ALL = RowFilter()
SETUPS = [
    (engine, metric, churned)
    for engine in HnswEngine
    for metric in (Metric.COSINE, Metric.L2)
    for churned in (False, True)
] + [(HnswEngine.FAISS, Metric.DOT, False)]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stock:
    """A replica, and what is in it: row i of each array is of the document with the id i."""

    replica: Replica
    metric: Metric
    vectors: Floats
    clusters: NDArray[np.int64]
    parts: NDArray[np.int64]

    def distances(self, query: Floats) -> NDArray[np.float64]:
        """To all documents; the smaller, the nearer."""
        vectors, query = self.vectors.astype(np.float64), query.astype(np.float64)
        if self.metric is Metric.L2:
            return np.linalg.norm(vectors - query, axis=1)
        if self.metric is Metric.COSINE:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return -(vectors @ query)

    def clusters_by(self, distances: NDArray[np.float64]) -> list[int]:
        """The cluster with the nearest document first."""
        first = [self.clusters[row] for row in np.argsort(distances)]
        return [int(cluster) for cluster in dict.fromkeys(first)]


def _clustered(clusters: NDArray[np.int64], seed: int) -> Floats:
    """A vector near the centre of each of these clusters."""
    centres = np.random.default_rng(99).normal(size=(CLUSTERS, DIMENSION)) * 3
    noise = np.random.default_rng(seed).normal(size=(len(clusters), DIMENSION))
    return (centres[clusters] + noise).astype(np.float32)


def _put(stock: Stock, numbers: NDArray[np.int64]) -> None:
    payloads = [
        {"cluster": int(stock.clusters[number]), "part": int(stock.parts[number])}
        for number in numbers
    ]
    ids = [_id(number) for number in numbers]
    upsert(stock.replica, *ids, vectors=stock.vectors[numbers], payloads=payloads)


def _id(number: int) -> str:
    return f"{number:05}"


def _filled(engine: HnswEngine, metric: Metric) -> Stock:
    """All documents in one segment with a graph."""
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, CLUSTERS, DOCUMENTS)
    spec = CollectionSpec(DIMENSION, metric, hnsw_ef_construction=100, hnsw_engine=engine)
    stock = Stock(
        opened(MemoryFileSystem(), GRAPHED, spec),
        metric,
        _clustered(clusters, seed=2),
        clusters,
        rng.permutation(DOCUMENTS) % PARTS,
    )
    _put(stock, np.arange(DOCUMENTS))
    seal(stock.replica)
    return stock


def _churned(stock: Stock) -> Stock:
    """With new vectors in other clusters for half of the documents."""
    rng = np.random.default_rng(3)
    vectors, clusters = stock.vectors.copy(), stock.clusters.copy()
    chosen = rng.permutation(DOCUMENTS)[: DOCUMENTS // 2]
    clusters[chosen] = rng.integers(0, CLUSTERS, len(chosen))
    vectors[chosen] = _clustered(clusters[chosen], seed=4)
    after = replace(stock, vectors=vectors, clusters=clusters)
    # In two waves: dead rows of the first may stay in the graph, the second is too much for that.
    for wave in np.array_split(chosen, 2):
        _put(after, wave)
        seal(after.replica)
    return after


def _name(setup: tuple[HnswEngine, Metric, bool]) -> str:
    engine, metric, churned = setup
    return f"{engine} {metric} {'churned' if churned else 'fresh'}"


@pytest.fixture(scope="module", params=SETUPS, ids=_name)
def stock(request: pytest.FixtureRequest) -> Iterator[Stock]:
    engine, metric, churned = request.param
    stock = _filled(engine, metric)
    yield _churned(stock) if churned else stock
    stock.replica.close()


def _share(share: float) -> Filter:
    return Filter((Range("part", lt=round(share * PARTS)),))


def _queries() -> Floats:
    return _clustered(np.random.default_rng(5).integers(0, CLUSTERS, QUERIES), seed=6)


@dataclass(frozen=True)
class Case:
    """A filter, and which documents pass it."""

    name: str
    filter: Filter
    passing: Mask


def _cases(stock: Stock, distances: NDArray[np.float64]) -> Iterator[Case]:
    """For a query to which the documents have these distances."""
    yield Case("all", EVERYTHING, np.ones(DOCUMENTS, np.bool_))
    for share in (0.5, 0.1, 0.01, 0.001):
        yield Case(f"{share:.1%} at random", _share(share), stock.parts < share * PARTS)
    order = stock.clusters_by(distances)
    near, farthest = order[: CLUSTERS // 4], order[-1:]
    without = Filter((MatchExcept("cluster", tuple(near)),))
    yield Case("not the nearest clusters", without, ~np.isin(stock.clusters, near))
    only = Filter((Match("cluster", tuple(farthest)),))
    yield Case("the farthest cluster", only, np.isin(stock.clusters, farthest))


def _found(stock: Stock, query: Floats, case: Case) -> list[int]:
    """Always as many as are wanted, and all of them pass."""
    asked = VectorQuery(query, K, case.filter, ef=EF, with_payload=False)
    numbers = [int(hit.id) for hit in stock.replica.view().search(asked, ALL)]
    assert len(set(numbers)) == len(numbers) == K
    assert case.passing[numbers].all()
    return numbers


def _recalls(stock: Stock) -> dict[str, float]:
    """How many of the nearest `K` are found, of 1, by the name of the case."""
    hits: Counter[str] = Counter()
    for query in _queries():
        distances = stock.distances(query)
        for case in _cases(stock, distances):
            border = np.partition(distances[case.passing], K - 1)[K - 1]
            near = distances[_found(stock, query, case)] <= border + 1e-5 * abs(border)
            hits[case.name] += int(np.count_nonzero(near))
    return {name: found / (K * QUERIES) for name, found in hits.items()}


def test_nearest_documents_are_found(stock: Stock) -> None:
    recalls = _recalls(stock)
    assert min(recalls.values()) >= ENOUGH, recalls


def test_nearest_documents_are_found_by_the_graph(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Graphs answer although comparing would be cheaper.
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
    recalls = _recalls(stock)
    assert min(recalls.values()) >= ENOUGH, recalls


def _spread(replica: Replica, vectors: Floats, ids: list[str], merge: bool) -> None:
    """Documents over several segments: merged ones, sealed ones, and the growing one."""
    parts = np.array_split(np.arange(len(ids)), 5)
    for part in parts[:4]:
        upsert(replica, *(ids[number] for number in part), vectors=vectors[part])
        replica.freeze()
        if merge:
            work(replica)
        else:
            flush(replica)
    upsert(replica, *(ids[number] for number in parts[4]), vectors=vectors[parts[4]])


def _answer(replica: Replica, query: VectorQuery) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in replica.view().search(query, ALL)]


@pytest.fixture(params=Metric)
def metric(request: pytest.FixtureRequest) -> Metric:
    return Metric(request.param)


def _empty(metric: Metric, index_min_rows: int = 20) -> Replica:
    policy = replace(POLICY, index_min_rows=index_min_rows, merge_factor=2)
    return opened(MemoryFileSystem(), policy, CollectionSpec(DIMENSION, metric))


def _mixed(rng: np.random.Generator, rows: int) -> tuple[Floats, list[str]]:
    """Vectors of which a third are equal to others, and ids in no order."""
    vectors = _clustered(rng.integers(0, 3, rows), seed=7)
    vectors[rng.permutation(rows)[: rows // 3]] = vectors[0]
    return vectors, [_id(number) for number in rng.permutation(rows)]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("merge", [True, False])
def test_equal_vectors_have_equal_scores_and_come_in_the_order_of_their_ids(
    metric: Metric, merge: bool, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Graphs answer although comparing would be cheaper.
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
    rng = np.random.default_rng(8)
    replica = _empty(metric)
    vectors, ids = _mixed(rng, 600)
    _spread(replica, vectors, ids, merge)
    equal = [id for id, row in zip(ids, vectors, strict=True) if np.array_equal(row, vectors[0])]
    # Against vectors that are not in the index, too, scores must not depend on the place of a row.
    for query in (vectors[0], vectors[0] + np.float32(0.01)):
        limit = len(equal)
        hits = _answer(replica, VectorQuery(query, limit, ef=EF, exact=exact))
        scores = {score for id, score in hits if id in equal}
        assert len(scores) == 1
        assert [id for id, score in hits if score in scores] == sorted(equal)
    replica.close()


def test_first_of_equal_vectors_by_id_are_those_that_are_found(metric: Metric) -> None:
    replica = _empty(metric)
    vectors, ids = _mixed(np.random.default_rng(9), 600)
    _spread(replica, vectors, ids, merge=False)
    equal = [id for id, row in zip(ids, vectors, strict=True) if np.array_equal(row, vectors[0])]
    hits = _answer(replica, VectorQuery(vectors[0], 40, exact=True))
    best = [id for id, score in hits if score == hits[-1][1]]
    assert K < len(best) < len(equal)
    assert best == sorted(equal)[: len(best)]
    replica.close()


@pytest.mark.parametrize("exact", [True, False])
def test_same_search_has_the_same_answer_again(
    metric: Metric, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Graphs answer although comparing would be cheaper.
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)
    replica = _empty(metric)
    vectors, ids = _mixed(np.random.default_rng(10), 600)
    _spread(replica, vectors, ids, merge=True)
    for query in _queries():
        asked = VectorQuery(query, 50, ef=EF, exact=exact)
        assert _answer(replica, asked) == _answer(replica, asked)
    replica.close()


def test_seals_and_merges_change_neither_order_nor_scores(metric: Metric) -> None:
    rng = np.random.default_rng(11)
    replica = _empty(metric)
    vectors, ids = _mixed(rng, 600)
    queries = [vectors[0], *_queries(), *rng.normal(size=(3, DIMENSION)).astype(np.float32)]
    asked = [VectorQuery(query, 250, exact=True) for query in queries]
    upsert(replica, *ids, vectors=vectors)
    growing = [_answer(replica, query) for query in asked]
    seal(replica)
    assert [_answer(replica, query) for query in asked] == growing
    replica.close()
    replica = _empty(metric)
    _spread(replica, vectors, ids, merge=False)
    assert [_answer(replica, query) for query in asked] == growing
    # A third of the rows die, and the others move into one segment.
    gone, kept = set(ids[::3]), len(ids) - len(ids[::3])
    delete(replica, *gone)
    seal(replica)
    assert sum(view.rows for view in replica.view().segments) < len(ids)
    for query, former in zip(asked, growing, strict=True):
        left = [hit for hit in former if hit[0] not in gone]
        assert _answer(replica, replace(query, limit=kept))[: len(left)] == left
    replica.close()
