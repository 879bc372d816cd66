"""What every index does for a search, however it was made."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.index.distance import Floats, distances
from akidb_ray.index.flat import compare_rows
from akidb_ray.index.vector_index import VectorIndex
from tests.contract.graphs import (
    DIMENSION,
    GRAPHS,
    KINDS,
    IndexFolder,
    Kind,
    Made,
    clustered,
    exactly,
    recall,
)

ROWS, K, EF = 3_000, 10, 100
FLOOR = 0.95


@dataclass(frozen=True)
class Case:
    """One index of `ROWS` vectors, which many tests search."""

    kind: Kind
    metric: Metric
    vectors: Floats
    queries: Floats
    made: Made

    @property
    def index(self) -> VectorIndex:
        return self.made.index

    def recall(self, ef: int, allowed: np.ndarray | None = None) -> float:
        return recall(self.index, self.metric, self.vectors, self.queries, K, ef, allowed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> IndexFolder:
    return IndexFolder(tmp_path_factory.mktemp("indexes"))


@pytest.fixture(params=KINDS, ids=str, scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(params=list(Metric), scope="module")
def metric(request: pytest.FixtureRequest) -> Metric:
    return Metric(request.param)


@pytest.fixture(scope="module")
def case(folder: IndexFolder, kind: Kind, metric: Metric) -> Case:
    vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
    return Case(kind, metric, vectors, queries, folder.make(kind, metric, vectors))


def _floor(kind: Kind) -> float:
    return 1.0 if kind.engine is None else FLOOR


def _same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]


def test_nearly_all_neighbours_are_found_in_clusters(case: Case) -> None:
    assert case.index.rows == ROWS
    assert case.recall(EF) >= _floor(case.kind)


def test_rows_come_nearest_first(case: Case) -> None:
    for query in case.queries[:20]:
        rows = case.index.search(query, K, EF)
        assert rows.dtype == np.int64
        assert np.all(np.diff(distances(case.metric, case.vectors[rows], query)) >= -1e-4)


def test_limit_above_the_breadth_widens_the_search(case: Case) -> None:
    assert len(case.index.search(case.queries[0], 300, ef=10)) == 300


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_allowed_rows_are_found_and_no_others(case: Case, share: float) -> None:
    allowed = np.random.default_rng(3).random(ROWS) < share
    found = case.recall(200, allowed)
    assert found >= _floor(case.kind) or not case.index.takes_mask


def test_mask_of_one_row_gives_that_row_or_none(case: Case) -> None:
    allowed = np.zeros(ROWS, np.bool_)
    allowed[77] = True
    for query in (case.vectors[77], *case.queries[:5]):
        assert set(case.index.search(query, K, EF, allowed).tolist()) <= {77}
    assert case.index.search(case.vectors[77], K, EF, allowed).tolist() == [77]


def test_mask_of_nothing_gives_nothing(case: Case) -> None:
    nothing = np.zeros(ROWS, np.bool_)
    assert case.index.search(case.queries[0], K, EF, nothing).tolist() == []
    many = case.index.search_many(case.queries, K, EF, 2, nothing)
    assert [rows.tolist() for rows in many] == [[]] * len(case.queries)


def test_mask_of_all_rows_changes_nothing(case: Case) -> None:
    everything = np.ones(ROWS, np.bool_)
    masked = [case.index.search(query, K, EF, everything) for query in case.queries]
    assert _same(masked, [case.index.search(query, K, EF) for query in case.queries])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_many_queries_are_answered_as_each_alone(case: Case, masked: bool, threads: int) -> None:
    allowed = np.arange(ROWS) % 2 == 0 if masked else None
    many = case.index.search_many(case.queries, K, EF, threads, allowed)
    assert _same(many, [case.index.search(query, K, EF, allowed) for query in case.queries])


def test_no_queries_have_no_answers(case: Case) -> None:
    assert case.index.search_many(case.queries[:0], K, EF, 1) == []
    assert case.index.search_scored(case.queries[:0], K, EF, 1) == []


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("limit", [1, K, 2 * ROWS])
def test_scored_searches_find_the_same_rows(case: Case, limit: int, threads: int) -> None:
    scored = case.index.search_scored(case.queries[:20], limit, EF, threads)
    plain = case.index.search_many(case.queries[:20], limit, EF, threads)
    assert [found.rows for found in scored] == [rows.tolist() for rows in plain]


def test_distances_that_a_search_gives_are_those_of_comparing_to_the_last_bit(case: Case) -> None:
    for query, found in zip(
        case.queries, case.index.search_scored(case.queries, 3 * K, EF, 2), strict=True
    ):
        rows = np.array(found.rows)
        compared = compare_rows(case.metric, case.vectors, rows, query).tolist()
        assert found.distances is None or found.distances == compared
        (alone,) = case.index.search_scored(query[None, :], 3 * K, EF, 1)
        assert alone == found


def test_searches_in_many_threads_do_not_disturb_each_other(case: Case) -> None:
    """Each has a mask and a breadth of its own."""
    asked = [(number, query) for number, query in enumerate(case.queries)] * 3

    def search(one: tuple[int, Floats]) -> np.ndarray:
        number, query = one
        allowed = np.arange(ROWS) % 8 != number % 8 if number % 3 else None
        return case.index.search(query, K, 20 + 10 * (number % 10), allowed)

    alone = [search(one) for one in asked]
    with ThreadPoolExecutor(8) as pool:
        assert _same(list(pool.map(search, asked)), alone)


def test_index_that_is_opened_again_answers_as_before(case: Case) -> None:
    again = case.made.open()
    assert (again.rows, again.memory_bytes) == (case.index.rows, case.index.memory_bytes)
    found = again.search_many(case.queries, K, EF, 1)
    assert _same(found, case.index.search_many(case.queries, K, EF, 1))


def test_index_says_what_it_holds_beside_mapped_files(case: Case) -> None:
    held = case.index.memory_bytes
    if case.kind.engine is None:
        assert held == 0
    elif case.kind.engine is HnswEngine.FAISS:
        assert 0 < held < case.vectors.nbytes / 8
    else:
        links_bytes = ROWS * 32 * 4
        assert held > case.vectors.nbytes + links_bytes


@pytest.mark.parametrize("rows", [1, 2, 9, 40])
def test_small_index_gives_all_that_is_asked_for(
    folder: IndexFolder, kind: Kind, metric: Metric, rows: int
) -> None:
    vectors = clustered(rows, 1, metric)
    index = folder.index(kind, metric, vectors)
    for limit in (1, 40, 1000):
        found = index.search(vectors[0], limit, EF)
        assert len(found) == len(set(found.tolist())) == min(limit, rows)
        assert set(found.tolist()) <= set(range(rows))
        assert found[0] == exactly(metric, vectors, vectors[0], 1)[0]


@pytest.mark.parametrize(
    "equal",
    [slice(0, None, 10), slice(0, None, 2), slice(0, ROWS // 3), slice(ROWS // 2, None)],
    ids=["a tenth", "a half", "the first third", "the last half"],
)
def test_equal_vectors_do_not_hide_the_others(
    folder: IndexFolder, kind: Kind, metric: Metric, equal: slice
) -> None:
    vectors, queries = clustered(ROWS, 1, metric), clustered(50, 2, metric)
    vectors[equal] = vectors[0]
    index = folder.index(kind, metric, vectors)
    assert recall(index, metric, vectors, queries, K, EF) >= _floor(kind)
    assert recall(index, metric, vectors, vectors[:2], K, EF) >= _floor(kind)


def test_zeros_do_not_hide_the_others(folder: IndexFolder, kind: Kind) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.L2), clustered(50, 2, Metric.L2)
    vectors[::3] = 0
    queries[0] = 0
    index = folder.index(kind, Metric.L2, vectors)
    assert recall(index, Metric.L2, vectors, queries, K, EF) >= _floor(kind)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_vectors_alone_are_all_found(folder: IndexFolder, kind: Kind, value: float) -> None:
    vectors = np.full((1_000, DIMENSION), value, np.float32)
    index = folder.index(kind, Metric.L2, vectors)
    for limit in (1, 10, 100):
        assert len(set(index.search(vectors[0], limit, EF).tolist())) == limit


@pytest.mark.parametrize("magnitude", [1e-6, 1e4])
def test_dot_products_of_any_magnitude_are_compared(
    folder: IndexFolder, kind: Kind, magnitude: float
) -> None:
    vectors = clustered(ROWS, 1, Metric.DOT) * np.float32(magnitude)
    queries = clustered(50, 2, Metric.DOT) * np.float32(magnitude)
    index = folder.index(kind, Metric.DOT, vectors)
    assert recall(index, Metric.DOT, vectors, queries, K, EF) >= _floor(kind)


@pytest.mark.parametrize("dead", [0.3, 0.5])
def test_recall_outlives_churn(folder: IndexFolder, kind: Kind, dead: float) -> None:
    """Of a base a part is dead and written anew behind it, as upserts do."""
    rng = np.random.default_rng(8)
    vectors, queries = clustered(ROWS, 1, Metric.COSINE), clustered(50, 2, Metric.COSINE)
    live = np.ones(ROWS, np.bool_)
    gone = rng.choice(ROWS, int(dead * ROWS), replace=False)
    fresh = clustered(len(gone), 5, Metric.COSINE)
    vectors, live = np.vstack([vectors, fresh]), np.append(live, np.ones(len(gone), np.bool_))
    live[gone] = False
    index = folder.make(kind, Metric.COSINE, vectors, base_rows=ROWS).index
    assert recall(index, Metric.COSINE, vectors, queries, K, EF, live) >= _floor(kind)


@pytest.fixture(params=HnswEngine)
def engine(request: pytest.FixtureRequest) -> HnswEngine:
    return HnswEngine(request.param)


@pytest.mark.parametrize("base_engine", HnswEngine)
@pytest.mark.parametrize("base_rows", [1, 300, 2_700, ROWS])
def test_extended_graph_finds_what_a_fresh_one_finds(
    folder: IndexFolder, engine: HnswEngine, base_engine: HnswEngine, base_rows: int
) -> None:
    """Whichever engine the base was for."""
    for metric in Metric:
        vectors, queries = clustered(ROWS, 1, metric), clustered(100, 2, metric)
        extended = folder.make(Kind(engine, True), metric, vectors, base_rows, base_engine)
        assert recall(extended.index, metric, vectors, queries, K, EF) >= FLOOR


def test_graph_is_extended_to_a_part_of_space_that_its_base_does_not_know(
    folder: IndexFolder, engine: HnswEngine
) -> None:
    new = clustered(ROWS // 2, 3, Metric.L2) + np.float32(30)
    vectors = np.concatenate([clustered(ROWS // 2, 1, Metric.L2), new])
    index = folder.index(Kind(engine, True), Metric.L2, vectors)
    for queries in (clustered(50, 2, Metric.L2), clustered(50, 4, Metric.L2) + np.float32(30)):
        assert recall(index, Metric.L2, vectors, queries, K, EF) >= FLOOR


@pytest.mark.parametrize("growth", [1e-3, 1e3, 1e25, 0.0])
@pytest.mark.parametrize("grown", [slice(0, ROWS // 2), slice(ROWS // 2, None)], ids=str)
def test_dot_graph_is_extended_by_vectors_of_another_length(
    folder: IndexFolder, engine: HnswEngine, growth: float, grown: slice
) -> None:
    vectors, queries = clustered(ROWS, 1, Metric.DOT), clustered(50, 2, Metric.DOT)
    vectors[grown] *= np.float32(growth)
    index = folder.index(Kind(engine, True), Metric.DOT, vectors)
    assert recall(index, Metric.DOT, vectors, queries, K, EF) >= FLOOR


@pytest.mark.parametrize("kind", GRAPHS, ids=str)
def test_wider_search_finds_no_less(folder: IndexFolder, kind: Kind) -> None:
    vectors, queries = clustered(8_000, 1, Metric.L2, clusters=1), clustered(50, 2, Metric.L2, 1)
    index = folder.index(kind, Metric.L2, vectors)
    found = [recall(index, Metric.L2, vectors, queries, K, ef) for ef in (10, 40, 400)]
    assert found == sorted(found)
    assert found[-1] > found[0]
